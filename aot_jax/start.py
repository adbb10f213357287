"""Start and stop of a process: huge pages, compilation cache, other hosts, signals, errors of the machine.

Importing it loads neither JAX nor the rest of the package.
"""

import contextlib
import hashlib
import importlib
import io
import os
import platform
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from filelock import FileLock, Timeout

HUGE_PAGES = "glibc.malloc.hugetlb"  # tunable of glibc 2.35 and later; 1: ask for transparent huge pages
KERNEL_MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
KEPT_BYTES = 4 << 30  # size limit of the compilation cache; the least recently used programs are removed first
OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|[Oo]ut of memory")  # pattern of JAX's messages
# Pattern of JAX's messages when driver, libraries and device do not match.
CUDA = re.compile("CUDA|cuda|cuDNN|CUDNN|cuBLAS|cuSPARSE|cuSOLVER|DNN library|libdevice|PTX|jaxlib version")
# Lines that TensorFlow prints on import, whatever its log level.
GREETINGS = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on.",
    "This TensorFlow binary is optimized",
    "To enable the following instructions",
)


def prepare_process() -> None:
    """Set up this process, before JAX is imported; may restart Python, see `use_huge_pages`."""
    use_huge_pages()
    keep_compiled()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
        # While modules load, Ctrl-C just ends the process, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command's `main` and exit with its return value."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal's encoding lacks
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with told():
        code = main()
    sys.exit(code)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turn an error of the machine (see `machine_trouble`) into one line and exit code 2."""
    try:
        yield
    except Exception as error:
        remedy = machine_trouble(error)
        if remedy is None:
            raise
        print(f"error: {remedy}", file=sys.stderr)
        sys.exit(2)


def machine_trouble(error: Exception) -> str | None:
    """Explain an error caused by missing libraries, devices, drivers or memory; None for any other error.

    If JAX cannot start, all its calls fail, some without a reason; `jax.devices()` is called to learn it.
    """
    text = (str(error).splitlines() or [type(error).__name__])[0].strip()
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] not in ("aot_jax", "data_pipeline"):
        return f"{error.name} is not installed: pip install -r requirements.txt, or 'aot-jax[train]'"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(text)):
        return (
            f"out of memory ({text}): track and evaluate with a smaller --max_long_edge or --max_frames, train with a "
            "smaller train.batch_size; see docs/troubleshooting.md"
        )
    if isinstance(error, RuntimeError | AssertionError) and (reason := _no_device()) is not None:
        wanted = os.environ.get("JAX_PLATFORMS")
        if wanted:
            extra = "tpu" if "tpu" in wanted else "cuda12"
            return (
                f"JAX finds no backend {wanted} on this machine{reason}: unset JAX_PLATFORMS to take what there is, or "
                f"install it, as in pip install 'jax[{extra}]'"
            )
        return f"JAX finds no device{reason}: JAX_PLATFORMS=cpu runs without one; see docs/troubleshooting.md"
    if isinstance(error, RuntimeError) and CUDA.search(str(error)):
        return (
            f"CUDA does not work here ({text}): update the driver, or pip install -U 'jax[cuda12]' for libraries that "
            "fit it, and take other CUDA libraries off LD_LIBRARY_PATH; JAX_PLATFORMS=cpu runs without it"
        )
    return None


def _no_device() -> str | None:
    """Return why JAX has no device, in brackets, empty if unknown; None if it has one or is not loaded."""
    if "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except Exception as reason:
        said = str(reason).partition(" (set JAX_PLATFORMS")[0]
        return f" ({said})" if said else ""
    return None


def join_hosts(asked: bool, coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Connect to the other processes of a run on many hosts, if asked or if Slurm has started several tasks.

    Args:
        asked: connect even without `coordinator` or Slurm.
        coordinator: HOST:PORT of process 0; None: detected from the cluster's manager, like the next two.
        processes: number of processes.
        process: index of this one, from 0.
    """
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    if asked or coordinator or slurm:
        import jax

        jax.distributed.initialize(coordinator, processes, process)


class StopSignal:
    """Context manager in which SIGTERM or Ctrl-C only sets `asked`, so that a loop can save and stop.

    A second Ctrl-C interrupts at once. Outside the main thread, where signals cannot be caught, it has no effect.

    Args:
        saying: start of the message printed at the first signal.
    """

    def __init__(self, saying: str) -> None:
        self._saying = saying
        self.asked: int | None = None  # number of the signal
        self._old: dict[int, Any] = {}

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        print(f"\n{self._saying}; Ctrl-C once more stops at once", file=sys.stderr, flush=True)

    def agreed(self, now: bool) -> bool:
        """Return whether all processes stop at this step; several exchange their answers only with `now`."""
        import jax
        import numpy as np
        from jax.experimental import multihost_utils

        if jax.process_count() == 1:
            return self.asked is not None
        return now and bool(multihost_utils.process_allgather(np.array(self.asked is not None)).any())

    def __enter__(self) -> "StopSignal":
        with contextlib.suppress(ValueError):
            self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)


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
    with contextlib.suppress(OSError):  # without huge pages it is only slower
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


def load_tensorflow() -> ModuleType:
    """Import TensorFlow without the lines in GREETINGS, which no setting turns off; its other output is kept.

    Raises:
        ImportError: if it is not installed or fails to load.
    """
    if module := sys.modules.get("tensorflow"):
        return module
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(said.fileno(), 2)
        try:
            return importlib.import_module("tensorflow")
        finally:
            os.dup2(stderr.fileno(), 2)
            said.seek(0)
            stderr.writelines(line for line in said if not any(words.encode() in line for words in GREETINGS))


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
    # Programs may use any instruction of this processor: one folder for each kind, as hosts may share a home.
    folder = cache_folder() / "compiled" / _processor()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(KEPT_BYTES))
    _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """Remove cached programs without an access-time file, as a killed process leaves them.

    They may be truncated, and JAX before 0.12 never overwrites them but warns each time.
    """
    with contextlib.suppress(OSError, Timeout, NotImplementedError):  # the last: no file locks here
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
