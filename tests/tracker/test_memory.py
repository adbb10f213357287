"""Memory: which frames it keeps; empty slots change nothing."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from aot_jax.memory import EMPTY, empty_memory, grow, rewrite, shrink, write
from aot_jax.models.lstt import FrameKV
from aot_jax.preprocess import resize_nearest
from aot_jax.propagate import begin, memorize, step

# Frames of one cell: the key is the frame's number t, the value 100 + t.


def cell(t, batch=1):
    return (FrameKV(jnp.full((batch, 1, 1, 1, 1), float(t)), jnp.full((batch, 1, 1, 1, 1), 100.0 + t)),)


jit_write = jax.jit(write, static_argnames=("keep", "reference"))


def remember(count, *, capacity, gap, references=(0,), short_frames=1):
    memory = empty_memory(cell(0), capacity, short_frames)
    for t in range(count):
        last = max((r for r in references if r <= t), default=0)
        keep = (t - last) % gap == 0 if gap else False
        memory = jit_write(memory, cell(t), t, keep=keep, reference=t in references)
    return memory


def long_frames(memory):
    """Return the frames of the valid slots, after checking the keys and values in them."""
    frames = np.asarray(memory.long_frame)
    valid = np.asarray(memory.long_valid[0])
    np.testing.assert_array_equal(valid, frames != EMPTY)
    np.testing.assert_array_equal(memory.long[0].key.ravel()[valid], frames[valid])
    np.testing.assert_array_equal(memory.long[0].value.ravel()[valid], frames[valid] + 100)
    return sorted(frames[valid].tolist())


@pytest.mark.parametrize(
    ("gap", "count", "want"),
    [(0, 9, [0]), (1, 4, [0, 1, 2, 3]), (3, 3, [0]), (3, 4, [0, 3]), (3, 11, [0, 3, 6, 9]), (5, 11, [0, 5, 10])],
)
def test_a_frame_is_kept_every_gap_frames(gap, count, want):
    memory = remember(count, capacity=4, gap=gap)
    assert long_frames(memory) == want


@pytest.mark.parametrize(
    ("count", "references", "want"),
    [
        (4, (0,), [0, 2, 3]),  # frame 1 is evicted
        (6, (0,), [0, 4, 5]),
        (6, (0, 2), [0, 2, 5]),
        (6, (0, 5), [0, 4, 5]),
        (8, (0, 1, 2), [0, 1, 2]),  # references are never evicted
    ],
)
def test_the_oldest_frame_that_is_no_reference_goes(count, references, want):
    memory = remember(count, capacity=3, gap=1, references=references)
    assert long_frames(memory) == want
    pinned = np.asarray(memory.long_frame)[np.asarray(memory.long_pinned)]
    assert sorted(pinned.tolist()) == [t for t in references if t < count]


def test_a_reference_restarts_the_gap():
    assert long_frames(remember(11, capacity=8, gap=3, references=(0, 4))) == [0, 3, 4, 7, 10]
    assert long_frames(remember(11, capacity=8, gap=0, references=(0, 4))) == [0, 4]


def test_short_term_memory_holds_the_latest_first():
    for count, keys, valid in (
        (1, [0, 0], [True, False]),
        (2, [1, 0], [True, True]),
        (4, [3, 2], [True, True]),
    ):
        memory = remember(count, capacity=1, gap=0, short_frames=2)
        assert memory.short[0].key.ravel().tolist() == keys
        assert (memory.short[0].value.ravel()[0]) == 100 + count - 1
        assert memory.short_valid[0].tolist() == valid


def test_a_reference_restarts_short_term_memory():
    after = [remember(n, capacity=2, gap=0, references=(0, 3), short_frames=3).short_valid[0] for n in range(3, 7)]
    assert np.asarray(after).tolist() == [
        [True, True, True],
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


def test_no_short_term_frames():
    memory = remember(3, capacity=1, gap=0, short_frames=0)
    assert memory.short[0].key.shape == (1, 1, 0, 1, 1, 1)
    assert memory.short_valid.shape == (1, 0)


def test_a_layer_may_keep_any_arrays():
    """A block may store any tree; an array that samples share stays shared."""

    def frame(t, batch):
        return ({"shared": jnp.full((1, 1, 1, 1, 2), t), "own": [jnp.full((batch, 1, 1, 1, 3), t, jnp.bfloat16)]},)

    memory = write(empty_memory(frame(0, 2), 2, 1), frame(5, 2), 5, reference=True)
    memory = write(memory, frame(6, 3), 6, keep=True)  # one more sample
    assert jax.tree.map(jnp.shape, memory.long) == ({"shared": (1, 1, 2, 1, 1, 2), "own": [(3, 1, 2, 1, 1, 3)]},)
    assert memory.long[0]["shared"][0, 0, :, 0, 0, 0].tolist() == [5, 6]
    assert memory.long[0]["own"][0][:, 0, :, 0, 0, 0].tolist() == [[5, 6], [5, 6], [0, 6]]
    assert memory.long_valid.tolist() == [[True, True], [True, True], [False, True]]
    assert memory.short[0]["own"][0].ravel().tolist() == [6] * 9
    memory = shrink(grow(rewrite(rewrite(memory, frame(7, 3), 0), frame(8, 3), None), 3), 1)
    assert memory.long[0]["own"][0][0, 0, :, 0, 0, 0].tolist() == [7, 6, 0]
    assert memory.short[0]["own"][0].ravel().tolist() == [8] * 3
    assert memory.long[0]["own"][0].dtype == "bfloat16"


def test_validity_is_kept_for_each_sample():
    memory = empty_memory(cell(0, 2), 2, 2)
    for t, present in enumerate(([True, False], [True, True])):
        memory = write(memory, cell(t, 2), t, reference=t == 0, present=jnp.array(present))
    assert memory.long_valid.tolist() == [[True, True], [False, True]]
    assert memory.short_valid.tolist() == [[True, True], [True, False]]


def test_growing_keeps_what_is_there():
    memory = remember(3, capacity=2, gap=1)
    more = grow(memory, 4)
    assert more.capacity == 4
    assert more.long_frame.tolist() == [*memory.long_frame.tolist(), EMPTY, EMPTY]
    assert more.long_pinned.tolist() == [*memory.long_pinned.tolist(), False, False]
    assert more.long_valid.tolist() == [[True, True, False, False]]
    np.testing.assert_array_equal(more.long[0].key[:, :, :2], memory.long[0].key)
    np.testing.assert_array_equal(more.short[0].value, memory.short[0].value)
    # A free slot is taken before a frame is evicted.
    assert sorted(write(more, cell(3), 3).long_frame.tolist()) == [EMPTY, 0, 2, 3]
    assert jax.tree.all(jax.tree.map(lambda a, b: a.shape == b.shape, grow(memory, 2), memory))


# Memory in the network.

SIZE = (33, 49)
GRID = (3, 4)


@pytest.fixture(scope="module", params=tiny.NETWORKS)
def model(request):
    return tiny.of_block(request.param, "model.identities=4")


@functools.partial(jax.jit, static_argnums=0)
def look(module, params, memory, frame):
    return step(module, params, memory, frame)


@functools.partial(jax.jit, static_argnums=(0, 6))
def store(module, params, memory, frame_kv, mask, t, reference=False):
    return memorize(module, params, memory, frame_kv, mask, t, reference=reference)


@functools.partial(jax.jit, static_argnums=(0, 4))
def start(module, params, frame, mask, capacity):
    _, frame_kv = step(module, params, None, frame, mask=mask)
    return frame_kv, begin(module, params, frame_kv, mask, capacity)


def masks(batch, shift=0):
    one = [np.roll(tiny.mask(*SIZE, [1, 2, 3, 4]), 5 * i + shift, axis=1) for i in range(batch)]
    return jnp.asarray(np.stack(one))


def video(model, count, capacity):
    """Return the memory after `count` frames with given masks."""
    _, memory = start(model.module, model.params, tiny.features(1, *GRID), masks(1), capacity)
    for t in range(1, count):
        _, frame_kv = look(model.module, model.params, memory, tiny.features(1, *GRID, seed=t))
        memory = store(model.module, model.params, memory, frame_kv, masks(1, t), t)
    return memory


def test_how_much_memory_keeps_is_known_beforehand(model):
    for layer in video(model, 1, 2).long:
        assert sum(x.size for x in jax.tree.leaves(layer)) == model.module.numbers_kept() * 2 * math.prod(GRID)


@pytest.mark.slow
def test_padded_slots_change_nothing(model):
    memory = video(model, 2, 2)
    assert memory.long_valid.all()
    now = tiny.features(1, *GRID, seed=9)
    want, _ = look(model.module, model.params, memory, now)
    padded = grow(memory, capacity=8)
    got, _ = look(model.module, model.params, padded, now)
    np.testing.assert_allclose(got, want, atol=3e-6)
    # Not even if invalid slots hold numbers.
    dirty = padded.replace(long=jax.tree.map(lambda x: x.at[:, :, 2:].set(30.0), padded.long))
    got, _ = look(model.module, model.params, dirty, now)
    np.testing.assert_allclose(got, want, atol=3e-6)
    counted = dirty.replace(
        long_valid=jnp.ones_like(dirty.long_valid), long_depth=jnp.full_like(dirty.long_depth, len(dirty.long))
    )
    got, _ = look(model.module, model.params, counted, now)
    assert np.abs(got - want).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aost", "aotb", "deaotb"])
def test_a_group_born_late_sees_only_its_own_frames(name):
    model = tiny.load(name, "model.depth=2", "model.identities=4")
    memory = video(model, 2, 2)
    frame, both = tiny.features(1, *GRID, seed=5), masks(2)
    frame_kv, _ = start(model.module, model.params, frame, both, 8)
    memory = store(model.module, model.params, grow(memory, 8), frame_kv, both, 5, True)
    # Where identities do not enter keys, the first layer sees the same ones in every group.
    assert [layer.key.shape[0] for layer in memory.long] == ([2, 2] if name == "aost" else [1, 2])
    assert memory.long_valid.sum(axis=1).tolist() == [3, 1]
    _, alone = start(model.module, model.params, frame, both[1:], 8)
    for t in (6, 7):
        now = tiny.features(1, *GRID, seed=t)
        got, frame_kv = look(model.module, model.params, memory, now)
        want, alone_kv = look(model.module, model.params, alone, now)
        np.testing.assert_allclose(got[1], want[0], atol=1e-5)
        assert np.abs(got[0] - got[1]).max() > 0.01
        memory = store(model.module, model.params, memory, frame_kv, masks(2, t), t)
        alone = store(model.module, model.params, alone, alone_kv, masks(2, t)[1:], t)


@pytest.mark.slow
def test_scan_equals_frame_by_frame(model):
    frames = [tiny.features(1, *GRID, seed=t) for t in range(1, 5)]
    _, first = start(model.module, model.params, tiny.features(1, *GRID), masks(1), 2)

    def one(memory, now):
        t, frame = now
        logits, frame_kv = step(model.module, model.params, memory, frame)
        labels = resize_nearest(logits[0].argmax(axis=-1), SIZE)[None]
        return memorize(model.module, model.params, memory, frame_kv, labels, t, keep=t % 2 == 0), logits

    stacked = jnp.arange(1, 5), jax.tree.map(lambda *x: jnp.stack(x), *frames)
    last, scanned = jax.jit(lambda m, f: jax.lax.scan(one, m, f))(first, stacked)
    memory, advance = first, jax.jit(one)
    for t, frame in enumerate(frames):
        memory, logits = advance(memory, (t + 1, frame))
        np.testing.assert_allclose(scanned[t], logits, atol=1e-5)
    for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(memory), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert sorted(memory.long_frame.tolist()) == [0, 4]
    assert np.unique(scanned.argmax(axis=-1)).size > 1
