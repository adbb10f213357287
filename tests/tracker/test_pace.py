"""The pace: the depth that keeps up with a frame rate."""

import numpy as np
import pytest
import tiny
from short_video import FRAMES, begin

from aot_jax import Tracker
from aot_jax.tracker.depth import PATIENCE, Pace
from aot_jax.tracker.tracker import TrackError
from aot_jax.tracker.tta import advance


def pace_of(seconds, fps, frames, depth=3):
    """Run a Pace on a simulated machine, where frame t takes seconds(t, depth); return the depth of each frame."""
    pace, depths = Pace(fps, depth), []
    for t in range(frames):
        depths.append(pace.depth)
        pace.measured(seconds(t, pace.depth))
    return depths


def test_pace_finds_the_depth_and_stays():
    steady = pace_of(lambda t, depth: 0.1 + 0.05 * depth, 1 / 0.21, 400)
    assert set(steady[100:]) == {2}
    assert set(pace_of(lambda t, depth: 0.1 + 0.05 * depth, 1 / 0.3, 50)) == {3}
    assert pace_of(lambda t, depth: 1.0 * depth, 10, 100)[-1] == 1  # too slow at any depth


def test_pace_follows_the_machine():
    busy = pace_of(lambda t, depth: (0.1 + 0.05 * depth) * (2 if 100 <= t < 300 else 1), 1 / 0.32, 600)
    assert set(busy[50:100]) == {3}
    assert set(busy[200:300]) == {1}
    assert set(busy[450:]) == {3}


def test_pace_does_not_flutter():
    random = np.random.default_rng(0)
    depths = pace_of(lambda t, depth: (0.1 + 0.05 * depth) * random.uniform(0.7, 1.3), 1 / 0.25, 2000)
    changes = np.count_nonzero(np.diff(depths))
    assert changes <= 2000 / (4 * PATIENCE)


def test_a_tracker_keeps_pace(model, monkeypatch):
    clock = [0.0]
    tracker = Tracker(model, gap=0, target_fps=10)
    monkeypatch.setattr("aot_jax.tracker.tracker.time.perf_counter", lambda: clock[0])
    ran = []

    def slow(streams, states, frame, used, depth):
        clock[0] += 0.08 * depth
        ran.append(depth)
        return advance(streams, states, frame, used, depth)

    monkeypatch.setattr("aot_jax.tracker.tracker.advance", slow)
    begin(tracker, (1, 2))
    for _ in range(2 * PATIENCE):
        tracker.step(FRAMES[1])
    assert ran[: PATIENCE + 1] == [2] * (PATIENCE + 1)  # one more than patience: the first compiles
    assert ran[PATIENCE + 1 :] == [1] * (PATIENCE - 1)
    with pytest.raises(TrackError, match="target_fps is 0; it is above 0"):
        Tracker(model, target_fps=0)
    with pytest.raises(TrackError, match="several depths"):
        Tracker(tiny.load("aott"), target_fps=10)
