"""Frames, masks and options that a tracker refuses."""

import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.memory import EMPTY
from aot_jax.tracker.tracker import TrackError

SIZE = (30, 50)  # off the network's grid of 33 x 49
FRAMES = tiny.frames(8, *SIZE)


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=1")


@pytest.fixture
def tracker(model):
    return Tracker(model, gap=2)


MASK = tiny.mask(*SIZE, (1, 2))


@pytest.mark.parametrize(
    ("frame", "mask", "message"),
    [
        (FRAMES[0], None, r"the first frame needs a mask"),
        (FRAMES[0], np.zeros(SIZE, np.uint8), r"the first mask has no object, every pixel is 0"),
        (FRAMES[0], MASK[:, :-1], r"the mask is 30x49 but its frame is 30x50 \(height x width\)"),
        (FRAMES[0], MASK.astype(np.float32), r"this one has shape \(30, 50\) and type float32"),
        (FRAMES[0], MASK[..., None], r"shape \(30, 50, 1\) and type int32"),
        (FRAMES[0], -MASK, r"ids in a mask are 0 .. 2147483647, but this one holds -2 .. 0"),
        (FRAMES[0], MASK.astype(np.int64) << 32, r"ids in a mask are 0 .. .*holds 0 .. 8589934592"),
        (FRAMES[0].astype(np.float32), MASK, r"uint8 RGB, but this one has shape \(30, 50, 3\) and type float32"),
        (FRAMES[0][..., 0], MASK, r"uint8 RGB, but this one has shape \(30, 50\)"),
        (np.zeros((30, 50, 4), np.uint8), MASK, r"shape \(30, 50, 4\)"),
        (np.zeros((0, 50, 3), np.uint8), MASK, r"shape \(0, 50, 3\)"),
    ],
)  # fmt: skip
def test_what_a_tracker_cannot_begin_with(tracker, frame, mask, message):
    with pytest.raises(TrackError, match=message):
        tracker.step(frame, mask)
    np.testing.assert_array_equal(tracker.step(FRAMES[0], MASK), MASK)  # the tracker still works


def test_what_a_tracker_cannot_go_on_with(model):
    tracker = Tracker(model, gap=2, max_objects=3)
    tracker.step(FRAMES[0], MASK)
    with pytest.raises(TrackError, match=r"this frame is 17x17 but those before were 30x50 .*reset\(\)"):
        tracker.step(np.zeros((17, 17, 3), np.uint8))
    with pytest.raises(TrackError, match=r"the mask makes it 4 objects, but this tracker takes 3"):
        tracker.step(FRAMES[1], tiny.mask(*SIZE, (2, 3, 4)))
    with pytest.raises(TrackError, match="integers"):
        tracker.step(FRAMES[1], MASK * 0.5)
    assert tracker.ids == [1, 2]
    assert tracker.states[0].memory.long_frame.tolist() == [0, EMPTY, EMPTY, EMPTY]


def test_depth_is_checked(model):
    with pytest.raises(TrackError, match=r"depth is 2, but this network runs at 1 .. 1"):
        Tracker(model, depth=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap": -1}, "gap is -1; it is at least 0"),
        ({"max_frames": -1}, "max_frames is -1; it is at least 0"),
        ({"max_long_edge": -5}, "max_long_edge is -5"),
        ({"output_height": 0}, "output_height is 0; it is at least 1"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"scales": ()}, r"scales are \(\)"),
        ({"scales": (480.0,)}, r"scales are \(480.0,\)"),
        ({"scales": (1.0, -1.0)}, "each is above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(model, options, message):
    with pytest.raises(TrackError, match=message):
        Tracker(model, **options)
