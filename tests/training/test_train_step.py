"""One update: the same on one device and two, in one part and two; frozen parameters stay."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.metrics import region_similarity
from aot_jax.training.clip import clip_loss
from aot_jax.training.optim import stop_frozen
from aot_jax.training.state import make_state
from aot_jax.training.step import clip_overlap, make_train_step
from aot_jax.typing import VOID

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_encoder")]

SIZE, FRAMES, BATCH = 33, 2, 4
FROZEN, BANK = ("encoder/conv0/", "encoder/conv1/"), ("identity_bank/", "id_norm/")  # parameters, by their paths


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
def network(block="v2", drop_path=0.4):
    """Build a small network, and its config with large learning rates."""
    model = tiny.of_block(block, *(f"model.{name}={drop_path}" for name in ("drop_path", "channel_drop")))
    config = model.config.copy_and_resolve_references()
    with config.unlocked():
        config.train.update(steps=10, ema_span=1.0, learning_rate=1e-2, min_learning_rate=1e-3)
    return model, config


@functools.cache
def make_update(devices, accumulate):
    """Build the update, cached because compiling takes most of the time."""
    model, config = network()
    config = config.copy_and_resolve_references()
    config.train.accumulate = accumulate
    return make_train_step(model.module, config, model.params, jax.devices()[:devices])


@functools.cache
def run(devices=1, accumulate=1, predicted=False, steps=1, poison=False, first_index=0):
    """Make `steps` updates; return the states before and after, and the last figures."""
    model, config = network()
    update = make_update(devices, accumulate)
    state = jax.tree.map(jnp.copy, make_state(model.params, config))  # the update donates its buffers
    before = jax.device_get(state)
    for step in range(steps):
        data = batch(step, first_index + BATCH * step)
        if poison:
            data["images"][0, 1, 5, 5] = np.nan
        state, figures, labels = update(state, split(data, devices), jnp.bool_(predicted))
        assert labels.shape == (devices, BATCH // devices, FRAMES, SIZE, SIZE)
    return before, jax.device_get(state), jax.device_get(figures)


def loss_of(block="v2", drop_path=0.4, rematerialise=False, unroll=True, images=None, masks=None):
    """Return a function from parameters, keys of drops and identities, and whether masks are predicted, to the loss."""
    model, config = network(block, drop_path)
    config = config.copy_and_resolve_references()
    config.train.rematerialise = rematerialise
    images, masks = (batch()[name] if x is None else x for name, x in (("images", images), ("masks", masks)))

    def loss(params, keys, predicted_masks):
        return clip_loss(
            model.module,
            stop_frozen(params, config),
            images,
            masks,
            np.full(len(masks), 2),
            jnp.float32(3),
            config.train,
            gap=1,
            predicted_masks=predicted_masks,
            keys=keys,
            unroll=unroll,
        )

    return loss, model.params


def keys(seed, count=BATCH):
    return jax.random.split(jax.random.key(seed), count)


def assert_same(one, other, tolerance):
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance, err_msg=jax.tree_util.keystr(path))


def moments(state):
    """Return the first moments of AdamW: after one update, the clipped gradients times 1 - beta1."""
    return [
        x for path, x in jax.tree_util.tree_leaves_with_path(state.opt_state) if ".mu" in jax.tree_util.keystr(path)
    ]


def test_two_devices_in_two_parts_each_make_the_update_of_one():
    (_, one, figures), (_, four, others) = run(), run(devices=2, accumulate=2)
    assert_same(moments(one), moments(four), 1e-5)
    assert_same(figures["losses"], others["losses"], 1e-5)
    assert max(np.abs(x).max() for x in moments(one)) > 1e-3  # there is something to compare


def test_a_loop_over_frames_that_are_computed_again_makes_the_same_gradients():
    longer = {name: np.concatenate([x, x[:, :1]], axis=1)[:2] for name, x in batch().items() if x.ndim > 2}

    def gradients(**form):
        loss, params = loss_of(**form, **longer)
        return jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(params, keys(0, 2), True), params

    (unrolled, params), (loop, _) = (gradients(**form) for form in ({}, {"rematerialise": True, "unroll": False}))
    assert loop.as_text().count("stablehlo.while") > unrolled.as_text().count("stablehlo.while")
    ((_, one), gradient), ((_, other), other_gradient) = (
        form.compile()(params, keys(0, 2), True) for form in (unrolled, loop)
    )
    assert one.losses.shape[0] == FRAMES + 1
    assert_same(one.losses, other.losses, 1e-5)
    assert_same(gradient, other_gradient, 1e-5)
    assert max(np.abs(x).max() for x in jax.tree.leaves(gradient)) > 1e-3


@pytest.mark.parametrize("block", ["v2", "gpm"])
def test_drops_and_permuted_identities_each_change_the_losses(block):
    (loss, params), (dropping, others) = (loss_of(block, drop_path) for drop_path in (0, 0.4))
    loss, dropping = jax.jit(loss), jax.jit(dropping)
    plain, permuted, other = (loss(params, k, False)[1].losses for k in (None, keys(0), keys(1)))
    dropped = dropping(others, keys(0), False)[1].losses
    for one, changed in ((plain, permuted), (permuted, other), (permuted, dropped)):
        assert np.abs(one - changed).max() > 1e-4


def test_a_samples_randomness_follows_from_its_index():
    (_, _, one), (_, _, other) = (run(first_index=i) for i in (0, 7))
    assert np.abs(one["losses"] - other["losses"]).max() > 1e-4


@pytest.mark.parametrize("block", tiny.NETWORKS)
def test_what_gets_a_gradient(block):
    loss, params = loss_of(block, drop_path=0)
    gradients = jax.jit(jax.grad(loss, has_aux=True))
    frozen, bank = ({path for path in flatten_dict(params, sep="/") if path.startswith(x)} for x in (FROZEN, BANK))
    assert len(bank) == (2 if block == "v1" else 4)
    for predicted in (False, True):
        found, _ = gradients(params, keys(0), predicted)
        none = {path for path, x in flatten_dict(found, sep="/").items() if not np.any(x)}
        assert none == (frozen | bank if predicted else frozen)


def changed(before, after, _):
    before, after = flatten_dict(before.params, sep="/"), flatten_dict(after.params, sep="/")
    return {path: not np.array_equal(before[path], after[path]) for path in before}


def test_what_moves():
    moved = changed(*run(steps=2))
    assert {name for name in moved if not moved[name]} == {name for name in moved if name.startswith(FROZEN)}


def test_the_identity_bank_stops_with_predicted_masks():
    moved = changed(*run(steps=2, predicted=True))
    assert {name for name in moved if not moved[name]} == {name for name in moved if name.startswith((*FROZEN, *BANK))}


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
