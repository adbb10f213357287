"""The user's cache folder, and JAX's compilation cache in it."""

import contextlib
import hashlib
import os
import platform
from pathlib import Path

from filelock import FileLock, Timeout

KEPT_BYTES = 4 << 30  # size limit of the compilation cache; the least recently used programs are removed first


def cache_folder() -> Path:
    """Return the user's cache folder: $XDG_CACHE_HOME/aot-jax, else ~/.cache/aot-jax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "aot-jax"


def keep_compiled() -> None:
    """Enable JAX's compilation cache, before JAX is imported, so that the next start compiles nothing again.

    JAX's own variables take precedence: JAX_COMPILATION_CACHE_DIR names another folder,
    JAX_ENABLE_COMPILATION_CACHE=false turns the cache off.
    """
    # Even a short compilation takes longer than reading its result.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # the user's own folder: no size limit, no clean-up
        return
    # One folder for each kind of processor: programs use its instruction set, and hosts may share a home.
    folder = cache_folder() / "compiled" / _processor()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(KEPT_BYTES))
    _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """Remove cached programs without an access-time file, as a killed process leaves them.

    They may be truncated, and JAX before 0.12 never overwrites them but warns each time.
    """
    with contextlib.suppress(OSError, Timeout, NotImplementedError):  # the last: the file system has no locks
        if folder.is_dir():
            with FileLock(folder / ".lockfile", timeout=10):  # JAX's own lock
                for program in folder.glob("*-cache"):
                    if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                        program.unlink()


def _processor() -> str:
    """Return a name for this kind of processor."""
    flags = ""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
