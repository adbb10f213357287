"""Time the frames of a tracker, with the unit measured in between."""

import time
from collections.abc import Iterable

import numpy as np

from aot_jax.tracker.tracker import Tracker
from bench.measure import Compilations, Rulers
from bench.probe import Probe, memory_frames
from bench.videos import Clip

WARM_UP = 2  # frames after the reference that do not count
RULER_EVERY = 3  # frames between measurements of the unit


def time_clip(
    tracker: Tracker, clip: Clip, rulers: Rulers, probe: Probe | None = None, warm_up: int = WARM_UP
) -> tuple[list[float], list[int]]:
    """Track a clip from its reference on; returns as `time_frames`."""
    tracker.step(clip.frames[0], clip.mask)
    return time_frames(tracker, clip.frames[1:], rulers, probe, warm_up)


def time_frames(
    tracker: Tracker,
    frames: Iterable[np.ndarray],
    rulers: Rulers,
    probe: Probe | None = None,
    warm_up: int = WARM_UP,
) -> tuple[list[float], list[int]]:
    """Track further frames.

    Args:
        tracker: that has its reference.
        frames: (h, w, 3) uint8.
        rulers: measured every few frames.
        probe: told which frames count.
        warm_up: frames that do not count; nor do those during which something was compiled.

    Returns:
        For each frame that counts its seconds, and how many memory frames it attended to.
    """
    seconds, seen = [], []
    with Compilations() as compilations:
        for t, frame in enumerate(frames):
            if t % RULER_EVERY == 0:
                rulers.measure()
            stored, compiled = memory_frames(tracker), compilations.count
            if probe and t >= warm_up:
                probe.frame(stored)
            start = time.perf_counter()
            tracker.step(frame)
            elapsed = time.perf_counter() - start
            if t >= warm_up and compilations.count == compiled:
                seconds.append(elapsed)
                seen.append(stored)
    rulers.measure()
    return seconds, seen
