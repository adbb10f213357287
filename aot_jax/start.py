"""How a command starts, joins those on other hosts and stops: huge pages, kept compiled programs, signals.

Loads neither JAX nor the rest of the package by itself.
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
KEPT_BYTES = 4 << 30  # of compiled programs; those used longest ago go first
OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|[Oo]ut of memory")  # as JAX says it
# What JAX says where driver, libraries and device do not fit each other.
CUDA = re.compile("CUDA|cuda|cuDNN|CUDNN|cuBLAS|cuSPARSE|cuSOLVER|DNN library|libdevice|PTX|jaxlib version")
# What TensorFlow prints whenever it is loaded, whatever its log level.
GREETINGS = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on.",
    "This TensorFlow binary is optimized",
    "To enable the following instructions",
)


def prepare_process() -> None:
    """Set up this process, first thing: Python may start again, and JAX reads its settings when it is loaded."""
    use_huge_pages()
    keep_compiled()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not where it is ignored, as under nohup
        # Until all is loaded there is nothing to tell or to save: Ctrl-C just ends the process.
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command that is loaded and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal's encoding does not have
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with told():
        code = main()
    sys.exit(code)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Leave with one line and exit code 2 where the machine cannot do what is asked, instead of JAX's traceback."""
    try:
        yield
    except Exception as error:
        remedy = machine_trouble(error)
        if remedy is None:
            raise
        print(f"error: {remedy}", file=sys.stderr)
        sys.exit(2)


def machine_trouble(error: Exception) -> str | None:
    """Say what an error means that comes from missing libraries, devices, drivers or memory; None: from none of them.

    Where JAX cannot start, each of its calls fails, and not all of them say why: so it is asked.
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
    """Return why JAX has no device, in brackets, empty where it does not say so; None: it has one, or is not loaded."""
    if "jax" not in sys.modules:
        return None
    try:
        sys.modules["jax"].devices()
    except Exception as reason:
        said = str(reason).partition(" (set JAX_PLATFORMS")[0]
        return f" ({said})" if said else ""
    return None


def join_hosts(asked: bool, coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Connect to the other processes of a run on many hosts, if it is asked for or Slurm has started several tasks.

    Args:
        asked: whether there are others although neither Slurm nor `coordinator` tells.
        coordinator: HOST:PORT of process 0; None: as the cluster's manager tells, like the next two.
        processes: how many there are.
        process: the number of this one.
    """
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    if asked or coordinator or slurm:
        import jax

        jax.distributed.initialize(coordinator, processes, process)


class StopSignal:
    """A context in which SIGTERM or Ctrl-C only sets `asked`, so that the loop can save and leave.

    A second Ctrl-C interrupts at once. Outside of the main thread, where signals cannot be caught, it changes nothing.

    Args:
        saying: what is printed when it is asked, without end.
    """

    def __init__(self, saying: str) -> None:
        self._saying = saying
        self.asked: int | None = None  # the signal
        self._old: dict[int, Any] = {}

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        print(f"\n{self._saying}; Ctrl-C once more stops at once", file=sys.stderr, flush=True)

    def agreed(self, now: bool) -> bool:
        """Tell whether all processes stop at this step: once one was asked, at the next step with `now`."""
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
    """Start this Python process again with memory in huge pages, where Linux gives them to those that ask.

    On the CPU a network allocates and frees large arrays all the time, and with pages of 4 KiB much of the time goes
    into mapping them. glibc reads its setting at the start of a process only. To keep a setting of your own, set
    GLIBC_TUNABLES, as in GLIBC_TUNABLES=glibc.malloc.hugetlb=0.
    """
    try:
        mode = KERNEL_MODE.read_text()
    except OSError:
        return
    tunables = huge_page_tunables(os.environ, platform.libc_ver(), mode)
    if tunables is None:
        return
    os.environ["GLIBC_TUNABLES"] = tunables
    with contextlib.suppress(OSError):  # slower without, but as good
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def huge_page_tunables(environment: Mapping[str, str], libc: tuple[str, str], mode: str) -> str | None:
    """Return the GLIBC_TUNABLES that asks for huge pages; None where it changes nothing or is set already.

    Args:
        environment: the process' environment variables.
        libc: name and version of the C library.
        mode: what the kernel says of transparent huge pages, as in "always [madvise] never".
    """
    name, version = libc
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < (2, 35) or "[madvise]" not in mode:
        return None
    tunables = environment.get("GLIBC_TUNABLES", "")
    if HUGE_PAGES in tunables:
        return None
    return ":".join(filter(None, [tunables, f"{HUGE_PAGES}=1"]))


def load_tensorflow() -> ModuleType:
    """Import TensorFlow without its greetings, which no setting of it turns off; anything else it prints is kept.

    Raises:
        ImportError: it is not installed, or does not start.
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
    """Return the user's folder for what can be made again: $XDG_CACHE_HOME/aot-jax, else ~/.cache/aot-jax."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "aot-jax"


def keep_compiled() -> None:
    """Have JAX, which is not loaded yet, keep compiled programs, so that the next start need not make them again.

    JAX's own variables come first: JAX_COMPILATION_CACHE_DIR names another folder, JAX_ENABLE_COMPILATION_CACHE=false
    keeps nothing.
    """
    # Even a short compilation takes longer than reading its result.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # the user's, who may keep other things there
        return
    # Programs may use every instruction of this processor: hosts that differ but share a home keep them apart.
    folder = cache_folder() / "compiled" / _processor()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(KEPT_BYTES))
    _remove_unfinished(folder)


def _remove_unfinished(folder: Path) -> None:
    """Remove programs that were written without their time of use, as by a process that was killed.

    Before 0.12 JAX writes no program any more where it finds one, and warns each time; and what was cut off is no use.
    """
    with contextlib.suppress(OSError, Timeout, NotImplementedError):  # the last one: files that cannot be locked
        if folder.is_dir():
            with FileLock(folder / ".lockfile", timeout=10):  # JAX's own
                for program in folder.glob("*-cache"):
                    if not program.with_name(program.name.removesuffix("-cache") + "-atime").exists():
                        program.unlink()


def _processor() -> str:
    """Return a name for this kind of processor."""
    flags = ""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as lines:
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:8]}"
