"""Timings of videos, and frame rates computed from them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Timing of one video. Videos that run at once share their time equally."""

    frames: int  # timed frames: predicted ones that did not wait for a compilation
    seconds: float  # time that the tracker took for them, without reading and writing
    all_frames: int = 0  # number of frames in the video
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
