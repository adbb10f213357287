"""Gated propagation: random drops in training; test_parity.py compares the rest with the authors' figures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from tiny import normal

from aot_jax.models.gated_propagation import DualBranchLSTT, GatedPropagation

CHANNELS = 32


@pytest.fixture(scope="module")
def model():
    return tiny.load("deaotl", "model.depth=2", "model.drop_path=0.3", "model.channel_drop=0.2")


def test_a_dropped_channel_is_a_closed_gate():
    """Channels mix only in the projection, so dropping one after the convolution equals closing its gate before."""
    attended, gate = normal(2, 3, 4, 8), normal(2, 3, 4, 8, seed=1)
    module = GatedPropagation()
    params = {
        "params": {"depthwise": {"kernel": normal(5, 5, 8)}, "projection": {"kernel": normal(8, 4), "bias": normal(4)}}
    }
    kept = jnp.ones((2, 8)).at[0, 3].set(0).at[1, 5].set(0)
    got = module.apply(params, attended, gate, kept)
    np.testing.assert_allclose(got, module.apply(params, attended, gate * kept[:, None, None], None), atol=1e-5)
    assert np.abs(got - module.apply(params, attended, gate, None)).max() > 0.1


def layer(model, kept):
    """Run the second layer on a reference frame; return its two branches (b, h, w, c)."""

    def run(network, *args):
        return network.lstt.layers[1](*args)[0]

    @jax.jit
    def apply(params, kept):
        x, embedding = normal(1, 3, 4, 2 * CHANNELS), normal(1, 3, 4, CHANNELS, seed=1)
        return model.module.apply({"params": params}, x, None, None, embedding, kept, method=run)

    return np.split(np.asarray(apply(model.params, kept)), 2, axis=-1)


@pytest.mark.slow
def test_each_branch_and_each_convolution_has_its_own_drops(model):
    count = 2 + 3 * 4 * CHANNELS
    whole = layer(model, np.ones((1, count), np.float32))
    np.testing.assert_allclose(whole, layer(model, None), atol=1e-6)
    parts = {"x": slice(0, 1), "z": slice(1, 2)} | {
        name: slice(2 + 4 * CHANNELS * i, 2 + 4 * CHANNELS * (i + 1))
        for i, name in enumerate(("long", "short", "self"))
    }
    changed = {}
    for name, part in parts.items():
        kept = np.ones((1, count), np.float32)
        kept[:, part] = 0
        pairs = zip(layer(model, kept), whole, strict=True)
        changed[name] = tuple(bool(np.abs(half - before).max() > 1e-3) for half, before in pairs)
    both = (True, True)
    assert changed == {"x": (True, False), "z": (False, True), "long": both, "short": both, "self": both}


def test_rates(model):
    rates = DualBranchLSTT(model.module.config).drop_rates()
    np.testing.assert_array_equal(rates, [0.3] * 2 + [0.2] * (3 * 4 * CHANNELS))
