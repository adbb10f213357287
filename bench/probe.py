"""Time the compiled programs of a tracker one by one while it runs, and count their arithmetic.

    probe = Probe()
    with probe:
        tracker.step(frame)

The programs are those of the tracker itself (`aot_jax.tracker.stream`); each is waited for before the next starts.
"""

import contextlib
import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from aot_jax.memory import Memory
from aot_jax.models.aot import AOT, Features
from aot_jax.tracker import stream
from aot_jax.tracker.slots import Slots
from aot_jax.tracker.tracker import Tracker
from aot_jax.typing import Array, Params
from bench.flops import count_flops
from bench.measure import Compilations

# Functions of `aot_jax.tracker.stream`, in the order of a frame, and what a table calls them.
PROGRAMS = {
    "_prepare": "input",
    "_encode": "encode",
    "_segment": "segment",
    "_labels": "labels",
    "_masks": "masks",
    "_memorize": "memorize",
}
STEP = tuple(PROGRAMS.values())  # programs of a whole step
PARTS = ("propagate", "decode")  # of `segment`, compiled apart to be timed apart
READS_MEMORY = ("segment", "propagate")  # by a loop over memory frames
OUTPUT = "output"  # labels to the host, and to a person's ids


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def _propagate(model: AOT, params: Params, memory: Memory, projected: Array, depth: int) -> tuple:
    return model.apply({"params": params}, projected, memory.layers(), None, depth, None, method="propagate")


@functools.partial(jax.jit, static_argnames="model")
def _decode(model: AOT, params: Params, features: Features, outputs: tuple) -> Array:
    return model.apply({"params": params}, features, outputs, method="decode")


@dataclass(frozen=True)
class Program:
    """One compiled program."""

    compile_seconds: float  # with tracing; 0 where it had been compiled before
    fixed_flops: float  # floating-point operations, all loops but those over memory frames counted in full
    turn_flops: float  # of each turn of a loop whose length only the data tell: a memory frame; a block of patches
    xla_flops: float | None  # by XLA's cost analysis, which counts the bodies of loops once
    xla_bytes: float | None  # the same, of memory accessed

    def flops(self, turns: int) -> float:
        """Return the floating-point operations with so many turns of such loops."""
        return self.fixed_flops + turns * self.turn_flops


@dataclass(frozen=True)
class Sample:
    """One run of a program."""

    seconds: float
    flops: float
    program: Program | None


class Probe(contextlib.AbstractContextManager):
    """Times programs while the context lasts; `frame` begins a frame that counts, `pause` ends it.

    Attributes:
        samples: for each program the runs in frames that count.
        compile_seconds: for each program what compiling it took, in all its shapes.
    """

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self.compile_seconds: dict[str, float] = defaultdict(float)
        self._compiled: dict[tuple, Program] = {}
        self._memory_frames: int | None = None
        self._patches = contextlib.ExitStack()

    def frame(self, memory_frames: int) -> None:
        """Let the runs that follow count; they attend to so many memory frames."""
        self._memory_frames = memory_frames

    def pause(self) -> None:
        """Let the runs that follow not count."""
        self._memory_frames = None

    def seconds(self, name: str) -> float | None:
        """Return the median time of a program, or None if it did not run."""
        return _median([sample.seconds for sample in self.samples[name]])

    def flops(self, name: str) -> float | None:
        """Return the median arithmetic of a program, or None if it has none."""
        return _median([sample.flops for sample in self.samples[name] if sample.program])

    def xla(self, name: str) -> tuple[float | None, float | None]:
        """Return XLA's own count of the arithmetic and of the bytes of a program, at its last run."""
        samples = self.samples[name]
        program = samples[-1].program if samples else None
        return (program.xla_flops, program.xla_bytes) if program else (None, None)

    def step_flops(self) -> float:
        """Return the median arithmetic of a whole step: that of all its programs in a frame."""
        frames = zip(*(self.samples[name] for name in STEP), strict=True)
        return statistics.median(sum(sample.flops for sample in frame) for frame in frames)

    def __enter__(self) -> "Probe":
        for attribute, name in PROGRAMS.items():
            program = getattr(stream, attribute)
            wrapped = self._segment(program) if name == "segment" else functools.partial(self._run, name, program)
            self._patch(stream, attribute, wrapped)
        to_ids = Slots.to_ids
        self._patch(Slots, "to_ids", lambda slots, labels: self._time(OUTPUT, None, lambda: to_ids(slots, labels)))
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()

    def _patch(self, owner: object, attribute: str, value: object) -> None:
        self._patches.callback(setattr, owner, attribute, getattr(owner, attribute))
        setattr(owner, attribute, value)

    def _segment(self, program: Callable) -> Callable:
        """Run `_segment`, and before it its two parts as programs of their own."""

        def run(model: AOT, params: Params, memory: Memory, features: Features, masks: Array, depth: int) -> tuple:
            if masks is None:
                outputs, _ = self._run("propagate", _propagate, model, params, memory, features.projected, depth)
                self._run("decode", _decode, model, params, features, outputs)
            return self._run("segment", program, model, params, memory, features, masks, depth)

        return run

    def _run(self, name: str, program: Callable, *args: Any) -> Any:
        signature = (name, jax.tree.structure(args), *map(_kind, jax.tree.leaves(args)))
        if signature not in self._compiled:
            self._compiled[signature] = compile_program(program, *args)
            self.compile_seconds[name] += self._compiled[signature].compile_seconds
        return self._time(name, self._compiled[signature], lambda: program(*args))

    def _time(self, name: str, program: Program | None, run: Callable) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(run())
        seconds = time.perf_counter() - start
        if self._memory_frames is not None:
            turns = self._memory_frames if name in READS_MEMORY else 1
            self.samples[name].append(Sample(seconds, program.flops(turns) if program else 0.0, program))
        return result


def memory_frames(tracker: Tracker) -> int:
    """Return how many long-term memory frames the next frame will attend to."""
    return tracker._streams[0].stored


def compile_program(program: Callable, *args: Any) -> Program:
    """Compile a jitted function for arguments like these; a call of it then finds it compiled."""
    start = time.perf_counter()
    with Compilations() as compilations:
        traced = program.trace(*args)
        compiled = traced.lower().compile()
    seconds = time.perf_counter() - start if compilations.count else 0.0
    cost = compiled.cost_analysis() or {}
    fixed, once = (count_flops(traced.jaxpr, turns) for turns in (0, 1))
    return Program(seconds, fixed, once - fixed, cost.get("flops"), cost.get("bytes accessed"))


def _kind(x: Any) -> Any:
    """Return what a compiled program depends on in an argument."""
    return (x.shape, str(x.dtype)) if hasattr(x, "shape") else x


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
