"""Masks carried by attention: masks instead of the network's values, cell by cell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from einops import rearrange

from aot_jax.figures.attention import carried_masks, carry, colour, patch_shares, record
from aot_jax.figures.page import FigureError
from aot_jax.network import Model
from aot_jax.propagate import begin, step
from aot_jax.tracker.checks import TrackError

pytestmark = pytest.mark.slow

SIZE = (33, 49)
CELLS = (3, 4)
IDENTITIES = 2


@pytest.fixture(scope="module")
def indifferent():
    """Return a network whose keys and position biases are zero, so that it attends to all cells equally."""
    model = tiny.load("aost", "model.depth=1", f"model.identities={IDENTITIES}", "memory.gap=2")
    lstt = model.params["lstt"]
    layer = lstt["layers_0"]
    layer = layer | {part: jax.tree.map(jnp.zeros_like, layer[part]) for part in ("query_value", "short_attention")}
    return Model(model.module, model.params | {"lstt": lstt | {"layers_0": layer}}, model.config)


def shares_of(labels, group):
    """Count the pixels of each identity in each cell's patch of 17 x 17: (h, w, M + 1)."""
    local = labels - group * IDENTITIES
    local = np.where((local >= 1) & (local <= IDENTITIES), local, 0)
    shares = np.empty((*CELLS, IDENTITIES + 1))
    for y, x in np.ndindex(*CELLS):
        patch = local[max(16 * y - 8, 0) : 16 * y + 9, max(16 * x - 8, 0) : 16 * x + 9]
        shares[y, x] = [(patch == i).mean() for i in range(IDENTITIES + 1)]
    return shares


@pytest.mark.parametrize("block", tiny.NETWORKS)
def test_the_networks_own_values_give_the_networks_own_output(block):
    model = tiny.load(tiny.NETWORKS[block], "model.depth=1", "model.short_term_frames=2")
    frames = jnp.asarray(np.random.default_rng(0).standard_normal((2, 1, *SIZE, 3)), jnp.float32)
    mask = jnp.asarray(tiny.mask(*SIZE, (1, 2)))[None]

    @jax.jit
    def run(params):
        _, frame_kv = step(model.module, params, None, frames[0], mask=mask)
        memory = begin(model.module, params, frame_kv, mask, capacity=2)  # a slot of each memory stays empty
        _, layers = record(lambda: step(model.module, params, memory, frames[1]))
        found = []
        for call in layers[0]:
            y = rearrange(carry(call, call.values, with_relative=True), "b n h w d -> b h w (n d)")
            if call.module.project:
                y = y @ call.params["projection"]["kernel"] + call.params["projection"]["bias"]
            found.append((y, call.output))
        return found

    long, short = run(model.params)
    np.testing.assert_allclose(*long, atol=2e-5)
    np.testing.assert_allclose(*short, atol=2e-5)


@pytest.mark.parametrize(("short_frames", "terms"), [(1, ["long", "short"]), (0, ["long"])])
def test_calls_are_recorded_layer_by_layer(short_frames, terms):
    model = tiny.load("aost", "model.depth=2", f"model.short_term_frames={short_frames}")
    frame, mask = jnp.zeros((1, *SIZE, 3)), jnp.zeros((1, *SIZE), jnp.int32)
    found = []

    def run(params):
        _, layers = record(lambda: step(model.module, params, None, frame, mask=mask))
        found.extend([call.term for call in layer] for layer in layers)

    jax.eval_shape(run, model.params)
    assert found == [terms, terms]


def test_even_attention_carries_the_mean_of_what_memory_holds(indifferent):
    mask = tiny.mask(*SIZE, (7, 1, 5))  # slots 2, 1, 3 are in two groups
    maps = carried_masks(indifferent, tiny.frames(4, *SIZE), mask)
    assert maps.memory_frames == [0, 2]
    assert sorted(maps.frames) == sorted(maps.labels) == [0, 2, 3]
    slots = np.zeros_like(mask)
    for slot, i in enumerate((1, 5, 7), start=1):
        slots[mask == i] = slot
    np.testing.assert_array_equal(maps.labels[0], slots)
    for group in range(2):
        stored = [shares_of(maps.labels[t], group) for t in (0, 2)]
        around = np.pad(stored[1], [(1, 1), (1, 1), (0, 0)], constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(0, 1))
        (layer,) = maps.layers
        np.testing.assert_allclose(layer.short[group], np.nanmean(windows, axis=(-2, -1)), atol=1e-5)
        mean = np.mean(stored, axis=(0, 1, 2))
        np.testing.assert_allclose(layer.long[group], np.broadcast_to(mean, layer.long[group].shape), atol=1e-5)


def test_what_cannot_be_looked_at(indifferent):
    mask = tiny.mask(*SIZE, (1,))
    with pytest.raises(FigureError, match="give two frames or more"):
        carried_masks(indifferent, tiny.frames(1, *SIZE), mask)
    with pytest.raises(FigureError, match="the first mask has no object, every pixel is 0"):
        carried_masks(indifferent, tiny.frames(2, *SIZE), mask * 0)
    with pytest.raises(TrackError, match="depth is 3, but this network runs at 1"):
        carried_masks(indifferent, tiny.frames(2, *SIZE), mask, depth=3)


def test_shares_of_patches():
    mask = np.zeros((1, 32, 32), np.int32)
    mask[0, :4, 16:] = 2
    shares = np.asarray(patch_shares(jnp.asarray(mask), 2, align_corners=False))
    np.testing.assert_allclose(shares[0, 0, 1], [0.75, 0, 0.25], atol=1e-6)
    np.testing.assert_allclose(shares[0, 1], [[1, 0, 0]] * 2, atol=1e-6)
    labels = np.random.default_rng(0).integers(0, IDENTITIES + 1, SIZE, np.int32)
    found = patch_shares(jnp.asarray(labels), IDENTITIES, align_corners=True)
    np.testing.assert_allclose(found, shares_of(labels, 0), atol=1e-6)


def test_colours_are_those_of_overlays_at_full_brightness():
    shares = np.zeros((2, 1, 3, 3))  # groups with slots 1, 2 and 3, 4
    shares[0, 0, 0, 1] = 1
    shares[0, 0, 1, 2] = 0.5
    shares[1, 0, 2, 2] = 1
    np.testing.assert_allclose(colour(shares)[0], [[1, 0, 0], [0, 0.5, 0], [0, 0, 1]])
