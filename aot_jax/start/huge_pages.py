"""Transparent huge pages for a process, on Linux."""

import contextlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

HUGE_PAGES = "glibc.malloc.hugetlb"  # tunable of glibc 2.35 and later; 1: ask for transparent huge pages
KERNEL_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def use_huge_pages() -> None:
    """Restart this Python process with transparent huge pages, where Linux gives them on request (madvise).

    On the CPU a network allocates and frees large arrays all the time, and mapping them in pages of 4 KiB is slow.
    glibc reads its setting only when a process starts. A setting in GLIBC_TUNABLES, as in
    GLIBC_TUNABLES=glibc.malloc.hugetlb=0, is kept.
    """
    try:
        mode = KERNEL_MODE.read_text(encoding="utf-8")
    except OSError:
        return
    tunables = huge_page_tunables(os.environ, platform.libc_ver(), mode)
    if tunables is None:
        return
    os.environ["GLIBC_TUNABLES"] = tunables
    with contextlib.suppress(OSError):  # without huge pages the program is only slower
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def huge_page_tunables(environment: Mapping[str, str], libc: tuple[str, str], mode: str) -> str | None:
    """Return the GLIBC_TUNABLES that enables huge pages; None if that has no effect or is set already.

    Args:
        environment: the process' environment variables.
        libc: name and version of the C library.
        mode: content of KERNEL_MODE, as in "always [madvise] never".
    """
    name, version = libc
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 35) or "[madvise]" not in mode:
        return None
    tunables = environment.get("GLIBC_TUNABLES", "")
    if HUGE_PAGES in tunables:
        return None
    return ":".join(filter(None, [tunables, f"{HUGE_PAGES}=1"]))
