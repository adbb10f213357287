"""How long videos take."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long one video took."""

    frames: int  # timed: predicted ones that met no compilation
    seconds: float  # of the tracker for these, without reading and writing
    all_frames: int = 0
    all_seconds: float = 0.0  # from taking the video up to its last mask on disk
    warnings: tuple[str, ...] = ()  # for a person

    @property
    def fps(self) -> float:
        """Frames a second, all objects together; nan if no frame was timed."""
        return overall_fps([self])


def overall_fps(timings: Iterable[Timing]) -> float:
    """Return frames a second of one device, all objects together, as in the paper; nan if no frame was timed."""
    timings = list(timings)
    return _ratio(sum(timing.frames for timing in timings), sum(timing.seconds for timing in timings))


def end_to_end_fps(timings: Iterable[Timing]) -> float:
    """Return frames a second of one device with compilation, reading and writing; nan if there was none."""
    timings = list(timings)
    return _ratio(sum(timing.all_frames for timing in timings), sum(timing.all_seconds for timing in timings))


def _ratio(frames: int, seconds: float) -> float:
    return frames / seconds if frames and seconds else math.nan
