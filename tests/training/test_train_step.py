"""One update: the same on one device and four, in one part and two; frozen parameters stay."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.metrics import region_similarity
from aot_jax.training.clip import clip_loss
from aot_jax.training.state import make_state
from aot_jax.training.step import clip_overlap, make_train_step
from aot_jax.typing import VOID

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_encoder")]

SIZE, FRAMES, BATCH = 33, 2, 4


def batch(seed=0, first_index=0):
    rng = np.random.default_rng(seed)
    masks = np.zeros((BATCH, FRAMES, SIZE, SIZE), np.uint8)
    masks[:, :, 4:20, 4:14] = 1
    masks[:, :, 10:30, 18:30] = 2
    masks[0, :, :3] = 255
    return {
        "images": rng.standard_normal((BATCH, FRAMES, SIZE, SIZE, 3)).astype(np.float32),
        "masks": masks,
        "objects": np.full((BATCH,), 2, np.int32),
        "index": np.arange(first_index, first_index + BATCH),
    }


def split(x, devices):
    return jax.tree.map(lambda a: a.reshape(devices, len(a) // devices, *a.shape[1:]), x)


@functools.cache
def make_update(devices, accumulate, block, drop_path, rematerialise):
    """Build a small network and its update, cached because compiling takes most of the time."""
    model = tiny.of_block(block, *(f"model.{name}={drop_path}" for name in ("drop_path", "channel_drop")))
    config = model.config.copy_and_resolve_references()
    with config.unlocked():
        config.train.update(
            rematerialise=rematerialise,
            steps=10,
            ema_span=1.0,
            accumulate=accumulate,
            learning_rate=1e-2,
            min_learning_rate=1e-3,
        )
    return model, config, make_train_step(model.module, config, model.params, jax.devices()[:devices])


@functools.cache
def run(
    devices=1,
    accumulate=1,
    predicted=False,
    steps=1,
    block="v2",
    drop_path=0.4,
    poison=False,
    rematerialise=False,
    first_index=0,
):
    """Make `steps` updates; return the states before and after, and the last figures."""
    model, config, update = make_update(devices, accumulate, block, drop_path, rematerialise)
    state = jax.tree.map(jnp.copy, make_state(model.params, config))  # the update donates its buffers
    before = jax.device_get(state)
    for step in range(steps):
        data = batch(step, first_index + BATCH * step)
        if poison:
            data["images"][0, 1, 5, 5] = np.nan
        state, figures, labels = update(state, split(data, devices), jnp.bool_(predicted))
        assert labels.shape == (devices, BATCH // devices, FRAMES, SIZE, SIZE)
    return before, jax.device_get(state), jax.device_get(figures)


def assert_same(one, other, tolerance):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance, err_msg=jax.tree_util.keystr(path))


def moments(state):
    """Return the first moments of AdamW: after one update, the clipped gradients times 1 - beta1."""
    return [
        x for path, x in jax.tree_util.tree_leaves_with_path(state.opt_state) if ".mu" in jax.tree_util.keystr(path)
    ]


def test_four_devices_make_the_update_of_one():
    (_, one, figures), (_, four, others) = run(devices=1), run(devices=4)
    assert_same(moments(one), moments(four), 1e-5)
    assert_same(figures["losses"], others["losses"], 1e-5)
    assert max(np.abs(x).max() for x in moments(one)) > 1e-3  # there is something to compare


def test_two_parts_make_the_update_of_one():
    (_, one, _), (_, two, _) = run(), run(accumulate=2)
    assert_same(moments(one), moments(two), 1e-5)


def test_computing_frames_again_makes_the_same_update():
    (_, one, figures), (_, again, others) = run(), run(rematerialise=True)
    assert_same(moments(one), moments(again), 1e-5)
    assert_same(figures["losses"], others["losses"], 1e-5)


def test_a_loop_over_frames_makes_the_gradients_of_the_unrolled_one():
    model = tiny.of_block("v2", "model.drop_path=0.4")
    frames = {name: np.concatenate([x, x[:, ::-1]], axis=1)[:2] for name, x in batch().items() if x.ndim > 2}

    def gradients(unroll):
        def loss(params):
            return clip_loss(
                model.module,
                params,
                **frames,
                objects=np.full(2, 2),
                step=jnp.float32(3),
                train=model.config.train,
                gap=1,
                predicted_masks=True,
                keys=jax.random.split(jax.random.key(0), 2),
                unroll=unroll,
            )

        return jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(model.params)

    (loop, unrolled) = (gradients(unroll) for unroll in (False, True))
    assert loop.as_text().count("stablehlo.while") > unrolled.as_text().count("stablehlo.while")
    (one, one_gradients), (other, other_gradients) = (form.compile()(model.params) for form in (loop, unrolled))
    assert one[1].losses.shape[0] == 2 * FRAMES
    assert_same(one[1].losses, other[1].losses, 1e-5)
    assert_same(one_gradients, other_gradients, 1e-5)
    assert max(np.abs(x).max() for x in jax.tree.leaves(one_gradients)) > 1e-3


@pytest.mark.parametrize("block", ["v2", "gpm"])
def test_drops_are_on_in_these(block):
    (_, dropped, _), (_, kept, _) = run(block=block), run(block=block, drop_path=0.0)
    assert max(np.abs(a - b).max() for a, b in zip(moments(dropped), moments(kept), strict=True)) > 1e-4


@pytest.mark.parametrize("block", ["v2", "gpm"])
def test_each_sample_has_its_own_permutation_of_identities(block):
    """Without drops, nothing else depends on a sample's index."""
    (_, _, one), (_, _, other) = (run(block=block, drop_path=0.0, first_index=i) for i in (0, 7))
    assert np.abs(one["losses"] - other["losses"]).max() > 1e-4


def changed(before, after):
    before, after = flatten_dict(before.params), flatten_dict(after.params)
    return {"/".join(path): not np.array_equal(before[path], after[path]) for path in before}


@pytest.mark.parametrize("block", tiny.NETWORKS)
def test_what_moves(block):
    before, after, _ = run(block=block, steps=2)
    moved = changed(before, after)
    assert not any(moved[name] for name in moved if name.startswith(("encoder/conv0/", "encoder/conv1/")))
    others = {name for name in moved if not name.startswith(("encoder/conv0/", "encoder/conv1/"))}
    assert {name for name in others if not moved[name]} == set()


@pytest.mark.parametrize("block", tiny.NETWORKS)
def test_the_identity_bank_stops_with_predicted_masks(block):
    before, after, _ = run(block=block, steps=2, predicted=True)
    moved = changed(before, after)
    bank = {name for name in moved if name.startswith(("identity_bank/", "id_norm/"))}
    assert len(bank) == (2 if block == "v1" else 4)
    assert not any(moved[name] for name in bank)
    assert all(moved[name] for name in moved if name.startswith("lstt/"))


def test_an_update_that_is_not_finite_is_skipped_and_counted():
    before, after, figures = run(poison=True, steps=2)
    assert figures["skipped"] == figures["skipped_in_a_row"] == 2
    assert after.step == 2
    for name in ("params", "ema", "opt_state"):
        for a, b in zip(jax.tree.leaves(getattr(before, name)), jax.tree.leaves(getattr(after, name)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_average_follows():
    before, after, _ = run()
    path = ("decoder", "conv_out", "kernel")
    start, new, average = (flatten_dict(tree)[path] for tree in (before.params, after.params, after.ema))
    np.testing.assert_allclose(average, start + (1 - 2 / 11) * (new - start), rtol=1e-5, atol=1e-7)


def test_overlap_is_the_mean_J_of_the_objects_in_a_frame():
    rng = np.random.default_rng(0)
    masks, labels = rng.integers(0, 4, (2, 3, 5, 6)), rng.integers(0, 4, (3, 2, 5, 6))
    masks[0, 2][masks[0, 2] == 3] = VOID
    labels[2, 0][labels[2, 0] == 3] = 0
    want = []
    for b, t in np.ndindex(2, 2):
        truth, predicted = masks[b, t + 1], labels[t + 1, b]
        ids = [i for i in (1, 2, 3) if i in truth or i in predicted]
        want += [region_similarity(truth == i, predicted == i, truth == VOID) for i in ids]
    assert len(want) == 11
    assert float(clip_overlap(labels, masks, 10)) == pytest.approx(np.mean(want))
