"""Counts of the programs that XLA compiles."""

import contextlib
import threading
from collections import Counter

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's event, once for each program


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
