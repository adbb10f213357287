"""Tracker: ids, later masks, memory policy; a small network with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.memory import EMPTY
from aot_jax.models.layers import resize_bilinear
from aot_jax.preprocess import inference_size, normalise, resize_cubic, resize_nearest
from aot_jax.propagate import begin, mask_unused, memorize, step
from aot_jax.start.compiled import Compilations
from aot_jax.tracker.tracker import TrackError

SIZE = (30, 50)  # off the network's grid of 33 x 49
FRAMES = tiny.frames(8, *SIZE)


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=1")


@pytest.fixture
def tracker(model):
    return Tracker(model, gap=2)


def run(tracker, ids=(1, 4, 9), count=4, frames=FRAMES):
    tracker.reset()
    mask = tiny.mask(*frames.shape[1:3], ids)
    return np.stack(
        [np.asarray(tracker.step(frame, mask if t == 0 else None)) for t, frame in enumerate(frames[:count])]
    )


@pytest.mark.parametrize("ids", [(9, 4, 1), (300, 2, 70000), (255, 256, 2**31 - 1)])
def test_ids_are_any_integers_and_come_back_as_they_were(tracker, ids):
    plain = run(tracker, (1, 2, 3))
    assert set(np.unique(plain[1:])) > {0}
    got = run(tracker, ids)
    assert got.dtype == np.int32
    assert got.shape == (4, *SIZE)
    np.testing.assert_array_equal(got[0], tiny.mask(*SIZE, ids))
    assert tracker.ids == sorted(ids)
    # Identities are given out in ascending order of ids.
    again = run(tracker, [sorted(ids).index(i) + 1 for i in ids])
    np.testing.assert_array_equal(got, np.array([0, *sorted(ids)])[again])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_masks_of_any_integer_type(tracker, dtype):
    mask = tiny.mask(*SIZE, [1])
    tracker.step(FRAMES[0], mask)
    want = tracker.step(FRAMES[1])
    tracker.reset()
    np.testing.assert_array_equal(tracker.step(FRAMES[0], mask.astype(dtype)), mask)
    np.testing.assert_array_equal(tracker.step(FRAMES[1]), want)


@pytest.mark.slow
def test_tracker_equals_the_recurrence_by_hand(of_each_block):
    tracker = Tracker(of_each_block, gap=2)
    module, params = of_each_block.module, of_each_block.params
    look = jax.jit(lambda memory, image: step(module, params, memory, image))
    store = jax.jit(
        lambda memory, frame_kv, mask, t: memorize(module, params, memory, frame_kv, mask, t, keep=t % 2 == 0)
    )
    size = inference_size(*SIZE)
    mask = tiny.mask(*SIZE, (1, 2, 3))

    @jax.jit
    def first(image, mask):
        _, frame_kv = step(module, params, None, image, mask=mask)
        return begin(module, params, frame_kv, mask, 8)

    @jax.jit
    def labels_of(logits):
        return resize_bilinear(mask_unused(logits, jnp.array([3])), SIZE, True)[0].argmax(axis=-1)

    image = jax.jit(lambda frame: normalise(resize_cubic(frame, size))[None])
    memory = first(image(FRAMES[0]), resize_nearest(mask, size)[None])
    got = run(tracker, (1, 2, 3))
    for t in range(1, 4):
        logits, frame_kv = look(memory, image(FRAMES[t]))
        assert np.mean(np.asarray(labels_of(logits)) != got[t]) <= 0.001  # rounding decides ties
        memory = store(memory, frame_kv, resize_nearest(got[t], size)[None], t)
    assert sorted(memory.long_frame.tolist())[-2:] == [0, 2]
    assert np.unique(got[1:]).size > 2


def test_probabilities_agree_with_labels(tracker):
    labels = run(tracker, (5, 2, 70000), 3)[-1]
    probabilities = tracker.probabilities()
    assert tracker.ids == [2, 5, 70000]
    assert probabilities.shape == (*SIZE, 4)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
    best = np.array([0, *tracker.ids])[probabilities.argmax(axis=-1)]
    assert np.mean(best != labels) <= 0.001
    with pytest.raises(TrackError, match="no frame has been segmented"):
        Tracker(tracker.model).probabilities()


def test_more_objects_than_identities_are_tracked_in_groups(of_each_block):
    tracker = Tracker(of_each_block, gap=0)
    ids = np.arange(12) * 7 + 3
    labels = run(tracker, ids)
    assert tracker.states[0].memory.long_valid.shape[0] == 2
    assert set(np.unique(labels)) <= {0, *ids}
    np.testing.assert_array_equal(labels[0], tiny.mask(*SIZE, ids))
    assert {*ids[10:]} & set(np.unique(labels[1:]))  # objects of the second group appear
    probabilities = tracker.probabilities()
    assert probabilities.shape == (*SIZE, 13)
    # Soft aggregation leaves 1e-5 to each of the second group's eight free identities.
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-4)


def test_new_objects_are_laid_over_the_prediction(tracker):
    want = run(tracker, (1, 4), 3)[2]
    run(tracker, (1, 4), 2)
    new = np.zeros(SIZE, np.int32)
    new[3:9, 5:25] = 7
    got = tracker.step(FRAMES[2], new)
    np.testing.assert_array_equal(got, np.where(new == 7, 7, want))
    assert tracker.ids == [1, 4, 7]
    memory = tracker.states[0].memory
    assert sorted(memory.long_frame.tolist()) == [EMPTY, EMPTY, 0, 2]
    assert int(memory.long_pinned.sum()) == 2
    later = [tracker.step(frame) for frame in FRAMES[3:6]]
    assert set(np.unique(later)) <= {0, 1, 4, 7}
    assert sorted(tracker.states[0].memory.long_frame.tolist()) == [EMPTY, 0, 2, 4]  # the gap counts from frame 2


def test_a_new_object_may_open_a_group(of_each_block):
    tracker = Tracker(of_each_block, gap=0)
    run(tracker, range(1, 11), 2)
    new = np.zeros(SIZE, np.int32)
    new[3:20, 5:25] = 99
    got = tracker.step(FRAMES[2], new)
    assert (got[new == 99] == 99).all()
    valid = tracker.states[0].memory.long_valid
    assert valid.sum(axis=1).tolist() == [2, 1]
    assert set(np.unique(tracker.step(FRAMES[3]))) <= {0, *range(1, 11), 99}


def test_a_corrected_mask_replaces_its_objects(tracker):
    before = run(tracker, (1, 4), 3)[2]
    assert (before == 4).any()
    run(tracker, (1, 4), 2)
    corrected = np.zeros(SIZE, np.int32)
    corrected[1:3, 1:4] = 4
    got = tracker.step(FRAMES[2], corrected)
    np.testing.assert_array_equal(got == 4, corrected == 4)
    np.testing.assert_array_equal(got == 1, (before == 1) & (corrected == 0))
    assert tracker.ids == [1, 4]


def test_an_empty_mask_later_is_no_mask(tracker):
    want = run(tracker, count=3)[2]
    run(tracker, count=2)
    np.testing.assert_array_equal(tracker.step(FRAMES[2], np.zeros(SIZE, np.uint8)), want)


def test_memory_grows_through_powers_of_two(of_each_block):
    tracker = Tracker(of_each_block, gap=1)
    run(tracker, count=1)
    capacities = []
    for frame in FRAMES[1:6]:
        tracker.step(frame)
        capacities.append(tracker.states[0].memory.capacity)
    assert capacities == [4, 4, 4, 8, 8]
    assert sorted(tracker.states[0].memory.long_frame.tolist()) == [EMPTY, EMPTY, 0, 1, 2, 3, 4, 5]


def test_max_frames_keeps_references_and_the_latest(model):
    tracker = Tracker(model, gap=1, max_frames=4)
    run(tracker, count=7)
    memory = tracker.states[0].memory
    assert sorted(memory.long_frame.tolist()) == [0, 4, 5, 6]
    new = tiny.mask(*SIZE, (8,))
    tracker.step(FRAMES[0], new)  # frame 7
    for frame in FRAMES[1:3]:
        tracker.step(frame)
    memory = tracker.states[0].memory
    assert sorted(memory.long_frame.tolist()) == [0, 7, 8, 9]
    assert np.asarray(memory.long_frame)[np.asarray(memory.long_pinned)].tolist() == [0, 7]


def test_a_corrected_mask_stays_in_memory(of_each_block):
    tracker = Tracker(of_each_block, gap=1, max_frames=3)
    run(tracker, (1, 4), 3)
    corrected = np.zeros(SIZE, np.int32)
    corrected[5:20, 10:30] = 4
    tracker.step(FRAMES[3], corrected)

    def stored():
        memory = tracker.states[0].memory
        slot = memory.long_frame.tolist().index(3)
        return [np.asarray(x[:, :, slot]) for x in memory.long[0]]

    before = stored()
    for frame in FRAMES[4:]:
        tracker.step(frame)
    assert sorted(tracker.states[0].memory.long_frame.tolist()) == [0, 3, 7]
    for old, new in zip(before, stored(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert np.abs(before[1]).max() > 0


def test_references_may_exceed_max_frames(model):
    tracker = Tracker(model, gap=0, max_frames=1)
    run(tracker, (1,), 2)
    tracker.step(FRAMES[2], tiny.mask(*SIZE, (2,)))
    memory = tracker.states[0].memory
    assert memory.long_frame.tolist() == [0, 2]
    assert memory.long_pinned.all()


def test_a_second_video_of_the_same_size_compiles_nothing(tracker):
    run(tracker, (1, 4, 9), 4)
    with Compilations() as compilations:
        run(tracker, (2, 3), 4)
        assert not compilations.count
        # the counter works: another size does compile
        run(tracker, (2, 3), 1, tiny.frames(1, 17, 17))
    assert compilations.count


def test_equal_scales_equal_no_augmentation(model):
    options = {"gap": 2, "max_long_edge": 0}
    want = run(Tracker(model, **options), count=3)
    got = run(Tracker(model, scales=(1.0, 1.0), **options), count=3)
    np.testing.assert_array_equal(got, want)


def test_flipped_streams_see_the_frame_mirrored(model):
    """With a symmetric frame and mask, both streams give the same logits."""
    half = tiny.frames(2, 33, 25)
    frames = np.concatenate([half, half[:, :, -2::-1]], axis=2)
    mask = np.zeros((33, 49), np.int32)
    mask[8:20, 15:34] = 3
    tracker = Tracker(model, gap=2, flip=True)
    tracker.step(frames[0], mask)
    tracker.step(frames[1])
    plain, mirrored = tracker.states
    np.testing.assert_allclose(plain.logits, mirrored.logits, atol=1e-5)
    probabilities = tracker.probabilities()
    np.testing.assert_allclose(probabilities, probabilities[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


def test_output_height(model):
    tracker = Tracker(model, gap=2, output_height=15)
    labels = run(tracker, (6,), 2)
    assert labels.shape == (2, 15, 25)
    np.testing.assert_array_equal(labels[0], tiny.mask(*SIZE, (6,))[::2, ::2])


def test_depth_reaches_the_network():
    deep = tiny.load("aost", "model.depth=2")
    tracker = Tracker(deep, 1, gap=0)
    tracker.step(FRAMES[0], tiny.mask(*SIZE, (1, 2)))
    assert len(tracker.states[0].memory.long) == 1
