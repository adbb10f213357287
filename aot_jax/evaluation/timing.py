"""Timings of videos, and frame rates computed from them."""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"  # JAX's event, once for each program


@dataclass(frozen=True)
class Timing:
    """Timing of one video. Of the time of videos that run at once, each counts an equal share."""

    frames: int  # timed frames: predicted ones that did not wait for a compilation
    seconds: float  # time of the tracker for them, without reading and writing
    all_frames: int = 0  # frames of the video
    all_seconds: float = 0.0  # time from opening the video to its last mask on disk
    warnings: tuple[str, ...] = ()  # warnings about the video

    @property
    def fps(self) -> float:
        """Frames a second, all objects together; nan if no frame was timed."""
        return overall_fps([self])


def overall_fps(timings: Iterable[Timing]) -> float:
    """Return frames a second of one device, all objects together, as in the paper; nan if no frame was timed."""
    timings = list(timings)
    return _ratio(sum(timing.frames for timing in timings), sum(timing.seconds for timing in timings))


def end_to_end_fps(timings: Iterable[Timing]) -> float:
    """Return frames a second of one device including compilation, reading and writing; nan if there are no frames."""
    timings = list(timings)
    return _ratio(sum(timing.all_frames for timing in timings), sum(timing.all_seconds for timing in timings))


def _ratio(frames: int, seconds: float) -> float:
    return frames / seconds if frames and seconds else math.nan


class CompileCount:
    """Counts the compilations of the current thread, to leave frames that wait for one out of timings."""

    _own = threading.local()  # JAX reports a compilation in the thread that waits for it
    _lock = threading.Lock()
    _listening = False

    @classmethod
    def value(cls) -> int:
        """Return the number of programs this thread has compiled since the first call."""
        with cls._lock:
            if not cls._listening:
                jax.monitoring.register_event_duration_secs_listener(cls._hear)
                cls._listening = True
        return getattr(cls._own, "count", 0)

    @classmethod
    def _hear(cls, event: str, *_: object, **__: object) -> None:
        cls._own.count = getattr(cls._own, "count", 0) + (event == COMPILED)
