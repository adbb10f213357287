"""Programs that XLA compiles: count them, and free them before the process has too many."""

import contextlib
import gc
import threading
from collections import Counter
from pathlib import Path

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's event, once for each program
MAPS = Path("/proc/self/maps")  # a line for each memory map of this process; on Linux alone
LIMIT = Path("/proc/sys/vm/max_map_count")  # file with the largest number of maps, usually 65,530


class Compilations(contextlib.AbstractContextManager):
    """Count what the current thread compiles inside the context, so that timings can exclude compilation."""

    _thread = threading.local()  # open contexts; JAX reports a compilation in the thread that waits for it
    _lock = threading.Lock()
    _listening = False

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()  # number of compilations by name of the program
        self.seconds = 0.0  # total time of these compilations

    @property
    def count(self) -> int:
        """Return the number of programs so far."""
        return self.names.total()

    def __enter__(self) -> "Compilations":
        with self._lock:
            if not Compilations._listening:  # never removed: JAX's list of listeners is not thread-safe
                jax.monitoring.register_event_duration_secs_listener(self._hear)
                Compilations._listening = True
        self._open().append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._open().remove(self)

    @classmethod
    def _open(cls) -> list["Compilations"]:
        if not hasattr(cls._thread, "open"):
            cls._thread.open = []
        contexts: list[Compilations] = cls._thread.open
        return contexts

    @classmethod
    def _hear(cls, event: str, duration_secs: float, **details: object) -> None:
        if event == COMPILED:
            name = str(details.get("fun_name", "?")).removeprefix("jit(").removesuffix(")")
            for context in cls._open():
                context.names[name] += 1
                context.seconds += duration_secs


def free_programs(share: float = 0.5) -> bool:
    """Free JAX's compiled programs if this process has more than `share` of the memory maps that Linux allows.

    On the CPU a compiled program holds hundreds to thousands of maps (the programs for one video size: about 2,000),
    and a process that reaches the limit crashes. Programs that are needed again come from the compilation cache.

    Returns:
        whether they were freed; False where the number of maps is not known.
    """
    try:
        count, limit = MAPS.read_bytes().count(b"\n"), int(LIMIT.read_bytes())
    except OSError:
        return False
    if count <= share * limit:
        return False
    jax.clear_caches()
    gc.collect()
    return True
