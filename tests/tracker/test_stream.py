"""Tracker.stream: the same labels as step, one frame late."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.tracker.tracker import TrackError
from aot_jax.tracker.tta import advance, advance_with_mask

SIZE = (30, 50)
FRAMES = tiny.frames(7, *SIZE)
MASKS = {0: tiny.mask(*SIZE, (3, 300)), 3: np.zeros(SIZE, np.int32), 5: np.zeros(SIZE, np.int32)}
MASKS[3][4:12, 5:25] = 17  # a new object
MASKS[5][10:14, 5:25] = 300  # a corrected one


@pytest.mark.parametrize("options", [{}, {"flip": True, "output_height": 15}], ids=["plain", "augmented"])
def test_a_stream_yields_what_steps_return(model, options):
    tracker = Tracker(model, gap=2, max_frames=3, **options)
    want = [tracker.step(frame, MASKS.get(t)) for t, frame in enumerate(FRAMES)]
    tracker.reset()
    got = list(tracker.stream(FRAMES, MASKS))
    np.testing.assert_array_equal(got, want)
    assert {3, 17} <= set(np.unique(want))
    tracker.reset()
    pairs = ((frame, MASKS.get(t)) for t, frame in enumerate(FRAMES))
    np.testing.assert_array_equal(list(tracker.stream(pairs)), want)
    # A stream continues the tracker's video, and the tracker continues after the stream.
    tracker.reset()
    tracker.step(FRAMES[0], MASKS[0])
    *rest, last = list(tracker.stream(FRAMES[1:4], {2: MASKS[3]}))
    np.testing.assert_array_equal([*rest, last, tracker.step(FRAMES[4])], want[1:5])


def test_a_frame_runs_before_the_labels_of_the_one_before_are_read(model):
    tracker = Tracker(model, gap=2)
    taken = []
    frames = (taken.append(t) or frame for t, frame in enumerate(FRAMES))
    seen = [len(taken) for _ in tracker.stream(frames, MASKS)]
    assert seen == [2, 3, 4, 5, 6, 7, 7]


@pytest.mark.parametrize("mask", [None, MASKS[3]], ids=["predicted", "given"])
def test_no_frame_waits_for_the_device(model, mask):
    """Everything that a frame does can be traced with the state's arrays unknown, so the host reads none of them."""
    tracker = Tracker(model, gap=2, flip=True)
    list(tracker.stream(FRAMES[:3], MASKS))
    slots = tracker.slots.take([17])

    def run(arrays):
        states = tuple(
            replace(state, memory=memory, logits=logits, latest=replace(state.latest, labels=labels))
            for state, (memory, logits, labels) in zip(tracker.states, arrays, strict=True)
        )
        past = tracker.streams, states, FRAMES[3], tracker.slots.used(), 2
        if mask is None:
            return advance(*past)[1]
        return advance_with_mask(*past, slots.from_ids(mask), tracker.slots.holding([17]), slots.groups)[1]

    arrays = [(state.memory, state.logits, state.latest.labels) for state in tracker.states]
    assert jax.eval_shape(run, arrays).shape == SIZE


def test_depth_reaches_every_frame(model):
    tracker = Tracker(model, gap=1)
    list(tracker.stream(FRAMES[:4], MASKS, depth=1))
    memory = tracker.states[0].memory
    depths = dict(zip(memory.long_frame.tolist(), memory.long_depth.tolist(), strict=True))
    assert depths == {0: 2, 1: 1, 2: 1, 3: 2}  # those with a mask at full depth


@pytest.mark.parametrize("frame", [np.zeros((17, 17, 3), np.uint8), FRAMES[2].astype(np.float32)])
def test_labels_before_a_bad_frame_are_not_lost(model, frame):
    tracker = Tracker(model, gap=2)
    want = [tracker.step(FRAMES[0], MASKS[0]), tracker.step(FRAMES[1])]
    tracker.reset()
    got = []
    with pytest.raises(TrackError, match=r"this frame is 17x17|has shape"):
        got.extend(tracker.stream([*FRAMES[:2], frame], MASKS))
    np.testing.assert_array_equal(got, want)


def test_nothing_in_nothing_out(model):
    assert list(Tracker(model).stream([])) == []
    with pytest.raises(TrackError, match="the first frame needs a mask"):
        list(Tracker(model).stream(FRAMES))


def test_a_target_waits_for_every_frame(model):
    tracker = Tracker(model, gap=2, target_fps=1e-3)
    taken = []
    frames = (taken.append(t) or frame for t, frame in enumerate(FRAMES))
    assert [len(taken) for _ in tracker.stream(frames, MASKS)] == [1, 2, 3, 4, 5, 6, 7]
