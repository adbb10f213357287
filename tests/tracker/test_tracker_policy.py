"""Tracker: removed objects, depth by frame, videos of many sizes; a small network with random weights."""

import jax
import numpy as np
import pytest
import tiny
from short_video import FRAMES, SIZE, begin

from aot_jax import Tracker
from aot_jax.start.compiled import Compilations
from aot_jax.tracker import programs
from aot_jax.tracker.batch import Next, advance_together
from aot_jax.tracker.tracker import TrackError


def test_a_removed_object_was_never_there(of_each_block):
    """With references alone in memory, the video goes on as if the masks had lacked the object."""
    want = Tracker(of_each_block, gap=0)
    mask = tiny.mask(*SIZE, (5, 6, 7))
    want.step(FRAMES[0], np.where(mask == 6, 0, mask))
    removed = Tracker(of_each_block, gap=0)
    removed.step(FRAMES[0], mask)
    removed.remove([6])
    assert removed.ids == [5, 7]
    # Id 7 keeps slot 3 but has slot 2 in the other tracker: compare only what does not depend on slots.
    found_shapes, wanted_shapes = (jax.tree.map(np.shape, tracker.states[0].memory) for tracker in (removed, want))
    assert found_shapes == wanted_shapes
    only = Tracker(of_each_block, gap=0)
    only.step(FRAMES[0], np.where(mask == 7, 0, mask))
    only.remove([6])
    single = Tracker(of_each_block, gap=0)
    single.step(FRAMES[0], np.where(mask == 5, 5, 0))
    for frame in FRAMES[1:4]:
        np.testing.assert_array_equal(only.step(frame), single.step(frame))
    found = np.unique([removed.step(frame) for frame in FRAMES[1:4]])
    assert set(found) <= {0, 5, 7}


@pytest.mark.slow
def test_removing_frees_the_slot_and_the_group(of_each_block):
    tracker = Tracker(of_each_block, gap=1)
    begin(tracker, range(1, 13), 4)
    assert tracker.states[0].groups == 2
    tracker.remove([11, 12])
    memory = tracker.states[0].memory
    assert memory.long_valid.shape[0] == 1
    assert memory.long_valid.sum() == 4  # the first group lost nothing
    tracker.remove([2])
    assert tracker.states[0].memory.long_valid.sum() == 1  # the reference
    new = np.zeros(SIZE, np.int32)
    new[3:20, 5:25] = 99
    got = tracker.step(FRAMES[4], new)
    assert (got[new == 99] == 99).all()
    assert tracker.states[0].groups == 1
    assert tracker.slots.of[99] == 2
    assert 2 not in np.unique([tracker.step(frame) for frame in FRAMES[5:7]])
    assert tracker.probabilities().shape == (*SIZE, 11)


@pytest.mark.slow
def test_all_objects_may_go(model):
    tracker = Tracker(model, gap=1)
    begin(tracker, (4, 8), 3)
    tracker.remove([8, 4])
    assert tracker.ids == []
    np.testing.assert_array_equal(tracker.step(FRAMES[3]), np.zeros(SIZE))
    mask = tiny.mask(*SIZE, (8,))
    np.testing.assert_array_equal(tracker.step(FRAMES[4], mask), mask)
    assert set(np.unique(tracker.step(FRAMES[5]))) <= {0, 8}
    with pytest.raises(TrackError, match=r"cannot remove \[3\]: the objects tracked are \[8\]"):
        tracker.remove([8, 3])
    assert tracker.ids == [8]


def test_depth_by_frame(model):
    always = Tracker(model, 1, gap=2)
    chosen = Tracker(model, gap=2)
    mask = tiny.mask(*SIZE, (1, 4))
    for t, frame in enumerate(FRAMES[:4]):
        given = mask if t == 0 else None
        np.testing.assert_array_equal(chosen.step(frame, given, depth=1 if t else None), always.step(frame, given))
    memory = chosen.states[0].memory
    assert dict(zip(memory.long_frame.tolist(), memory.long_depth.tolist(), strict=True)) == {0: 2, 2: 1, -1: 0}
    # At full depth again: the deeper layer sees the reference alone, not the frame that it was not run on.
    valid = [layer.long_valid.sum() for layer in memory.layers()]
    assert valid == [2, 1]
    logits = []
    for _ in range(2):
        chosen.step(FRAMES[4])
        logits.append(np.asarray(chosen.states[0].logits))
    assert np.isfinite(logits).all()
    with pytest.raises(TrackError, match=r"depth is 3, but this tracker runs at 1 .. 2"):
        chosen.step(FRAMES[5], depth=3)
    with pytest.raises(TrackError, match=r"depth is 2, but this tracker runs at 1 .. 1"):
        always.step(FRAMES[5], depth=2)


@pytest.mark.slow
def test_videos_of_many_sizes_share_the_network(model):
    tracker = Tracker(model, gap=0)

    def compiled(height, width):
        tracker.reset()
        with Compilations() as compilations:
            tracker.step(np.zeros((height, width, 3), np.uint8), tiny.mask(height, width, (1,)))
            tracker.step(np.zeros((height, width, 3), np.uint8))
        return compilations.count

    # Sizes of no other test, which would have compiled the programs already.
    first = compiled(111, 79)
    others = [compiled(110 + i, 82 - i) for i in range(3)]  # all become 113 x 81
    assert others == [2, 2, 2]  # programs that resize masks, and that write labels and memorise them
    assert first > 2 + 2
    assert compiled(111, 79) == 0


@pytest.mark.slow
@pytest.mark.parametrize("apart", [True, False])
def test_a_frame_runs_two_programs_or_three_where_the_encoder_is_one(apart, monkeypatch):
    monkeypatch.setattr(programs, "encodes_apart", lambda: apart)
    model = tiny.load("aost", "model.depth=1")
    trackers = [Tracker(model, gap=0, flip=flip) for flip in (False, False, True)]
    for tracker in trackers:
        begin(tracker, (1, 4), 2)

    def executed(run):
        jax.clear_caches()  # so that everything that runs, even one addition, is compiled again
        with Compilations() as compilations:
            run()
        return dict(compilations.names)

    encoder = {"encode": 1} if apart else {}
    assert executed(lambda: trackers[0].step(FRAMES[2])) == {"step": 1, "memorize": 1} | encoder
    assert trackers[0].states[0].latest.index == 2
    mirrored = executed(lambda: trackers[2].step(FRAMES[2]))  # `memorize` of either side, and their average
    assert mirrored == {"step": 1, "memorize": 2, "_average_argmax": 1} | encoder
    trackers[1].step(FRAMES[2])
    both = executed(lambda: advance_together([Next(tracker, FRAMES[3]) for tracker in trackers[:2]]))
    assert both == {"step_all": 1, "memorize_all": 1}
