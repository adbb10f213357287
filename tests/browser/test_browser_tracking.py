"""Runs of the tracker on the page, without a browser: directions, corrections, depth and rate."""

import numpy as np
import pytest
import tiny
from small_page import FRAMES, box

pytest.importorskip("starlette")
from aot_jax import Tracker
from aot_jax.browser.session import CORRECTED, GIVEN, LOST, NOTHING, TRACKED, SessionError
from aot_jax.browser.tracking import Tracking


@pytest.fixture
def tracking(session):
    """Runs of a tracker with a small network."""
    return Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])


class Vanishing:
    """Tracker without a network, whose object is lost from the third frame on; `depths` are those of its steps."""

    def __init__(self):
        self.depths = []

    def reset(self):
        self.ids, self.steps = [], 0

    def step(self, frame, mask=None, depth=None, replace=False):
        self.steps += 1
        if mask is not None:
            self.ids, self.labels = [1], mask
        else:
            self.depths.append(depth)
        return self.labels if self.steps < 3 else np.zeros_like(self.labels)

    def save_state(self, path):
        path.touch()


def test_frames_without_an_object_of_the_frames_before_are_marked_as_lost(session):
    session.give(1, box().astype(np.int32))
    tracking = Tracking(session, Vanishing, [1, 2, 3])
    tracking.start("forward", 1)
    tracking.wait()
    assert list(session.status) == [NOTHING, GIVEN, TRACKED, *(FRAMES - 3) * [LOST]]


def test_depth_and_wished_rate_can_change_while_tracking_runs(session):
    tracker = Vanishing()
    session.give(0, box().astype(np.int32))
    tracking = Tracking(session, lambda: tracker, [1, 2, 3])
    changes = {1: lambda: tracking.set_depth(1), 2: lambda: tracking.set_depth(2), 3: lambda: tracking.set_rate(0.001)}

    def change(message):
        if message["type"] == "frame" and "left" in message:
            changes.get(message["index"], lambda: None)()

    session.say = change
    tracking.start("forward", 0)
    tracking.wait()
    assert tracker.depths == [3, 1, 2, 3, 3]  # a rate that is easily reached leaves the largest depth


@pytest.mark.parametrize("fps", [-1, float("inf"), float("nan")])
def test_a_rate_out_of_range_is_refused(session, fps):
    with pytest.raises(SessionError, match="frames a second"):
        Tracking(session, Vanishing, [1, 2, 3]).set_rate(fps)


def test_tracking_writes_every_frame_and_keeps_what_was_given(session, tracking):
    session.add_ids([1])
    session.give(2, box().astype(np.int32))
    tracking.start("both", 0)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * FRAMES
    assert session.status[2] == GIVEN
    assert np.array_equal(session.labels(2), box())


def test_a_correction_tracks_only_what_follows(session, tracking):
    session.add_ids([1])
    session.give(0, box().astype(np.int32))
    tracking.start("forward", 0)
    tracking.wait()
    before = [session.mask_path(i).stat().st_mtime_ns for i in range(FRAMES)]
    session.give(3, np.roll(box().astype(np.int32), 4))
    tracking.start("forward", 3)
    tracking.wait()
    after = [session.mask_path(i).stat().st_mtime_ns for i in range(FRAMES)]
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, False, False, True, True, True]
    assert session.status[3] == CORRECTED


def test_a_run_stops_and_goes_on_and_its_depth_may_change(session, tracking):
    session.add_ids([1])
    session.give(0, box().astype(np.int32))

    def stop_at_two(message):
        if message.get("index") == 2 and "speed" in message:
            tracking.set_depth(1)
            tracking.stop()

    session.say = stop_at_two
    tracking.start("forward", 0)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * 3 + [False] * 3
    session.say = lambda _: None
    tracking.start("forward", 2)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * FRAMES


def test_a_chosen_depth_ends_the_wish_for_a_rate(server):
    server.tracking.set_rate(12)
    assert (server.state()["depth"], server.state()["fps"]) == (3, 12)
    server.tracking.set_depth(2)
    assert (server.state()["depth"], server.state()["fps"]) == (2, 0)


def test_without_a_mask_there_is_nothing_to_track(tracking):
    with pytest.raises(SessionError, match="mask"):
        tracking.start("both", 0)
