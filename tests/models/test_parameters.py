"""Parameters of the networks: counts of the paper, ablations, initial values."""

import functools
import math

import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.config import load_config
from aot_jax.configs.__main__ import count_parameters
from aot_jax.network import init_params, make_model

COUNTS = {
    "aott": 5_734_099,
    "aots": 6_998_235,
    "aotb": 8_262_371,
    "aotl": 8_262_371,
    "aotl_r50": 14_909_923,
    "aotl_swinb": 65_398_683,
    "aotv2l": 8_466_171,
    "aotv2l_r50": 15_113_723,
    "aost": 8_795_387,
    "aost_r50": 15_442_939,
    "aost_shared": 5_869_275,
    "deaott": 7_238_188,
    "deaots": 10_202_765,
    "deaotb": 13_167_342,
    "deaotl": 13_167_342,
    "deaotl_r50": 19_814_894,
    "deaotl_swinb": 70_303_654,
}


@functools.cache
def count(name, *overrides):
    return count_parameters(load_config(name, overrides))


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name):
    assert count(name) == COUNTS[name]


@pytest.mark.parametrize(("depth", "want"), [(1, 5_802_203), (2, 7_266_027)])
def test_parameter_counts_of_aost_built_shallower(depth, want):
    assert count("aost", f"model.depth={depth}") == want


def test_parameter_counts_of_models_without_a_figure():
    # What a block or scalable depth adds does not depend on the encoder.
    assert count("aotv2l_swinb") - count("aotl_swinb") == count("aotv2l") - count("aotl")
    assert count("aost_swinb") - count("aotv2l_swinb") == count("aost") - count("aotv2l")


def changed(*overrides, name="aost"):
    """Return the parameters of a network that an override adds, removes or reshapes."""
    base = {"/".join(path): leaf.shape for path, leaf in tiny.shapes(tiny_model(name)).items()}
    other = {"/".join(path): leaf.shape for path, leaf in tiny.shapes(tiny_model(name, *overrides)).items()}
    return {path for path in base.keys() | other.keys() if base.get(path) != other.get(path)}


def tiny_model(name, *overrides):
    return make_model(load_config(name, [*tiny.sizes(name), "model.depth=2", *overrides]))


def test_parameters_of_the_ablations():
    outputs = {"decoder/conv_out/kernel", "decoder/conv_out/bias", "identity_bank/kernel"}
    assert changed("model.identities=5") == outputs
    relative = {
        f"lstt/layers_{i}/short_attention/{leaf}"
        for i in range(2)
        for leaf in ("relative_k", "relative_k_bias", "relative_v")
    }
    assert changed("model.window=5") == relative
    assert changed("model.relative_position=False") == relative
    projections = {
        f"lstt/layers_{i}/short_attention/projection/{leaf}" for i in range(2) for leaf in ("kernel", "bias")
    }
    assert changed("model.short_term_frames=0") == relative | projections
    assert changed("model.short_term_frames=3") == set()
    assert changed("model.sine_position=False") == set()
    assert changed("model.patch_wise_bank=False") == {"identity_bank/kernel"}
    shared = changed("model.share_blocks=True")
    assert {path.split("/")[1] for path in shared} == {"layers_1", "decoder_norms_1", "conv_in_0", "conv_in_1"}


@functools.cache
def initial(*overrides):
    """Return the first parameters of a network with 32 channels, 2 heads of 16 and 9 offsets, by path."""
    params = init_params(tiny_model("aost", "model.depth=1", *overrides), 1)
    return {path: np.asarray(leaf) for path, leaf in flatten_dict(params, sep="/").items()}


@pytest.mark.slow
def test_initial_values():
    """Xavier uniform with the release's fans, biases within 1/sqrt(fan-in), an orthogonal bank of gain 17^-2."""
    flat = initial()
    xavier = {
        "encoder_projector/kernel": (32, 32),
        "lstt/layers_0/query_value/kernel": (32, 64),
        "lstt/layers_0/feed_forward/expand/kernel": (32, 128),
        "lstt/layers_0/feed_forward/depthwise/kernel": (25, 25 * 128),
        "lstt/layers_0/short_attention/relative_k": (16, 18),
        "lstt/layers_0/short_attention/relative_v": (16 * 9, 2 * 9),
        "decoder/conv_16x/conv/kernel": (9 * 32, 9 * 32),
        "decoder/conv_out/kernel": (16, 11),
    }
    bounds = {path: math.sqrt(6 / sum(fans)) for path, fans in xavier.items()} | {
        "lstt/layers_0/feed_forward/expand/bias": 32**-0.5,
        "lstt/layers_0/short_attention/relative_k_bias": 16**-0.5,
        "decoder/conv_16x/conv/bias": (9 * 32) ** -0.5,
    }
    for path, bound in bounds.items():
        assert 0.75 * bound < np.abs(flat[path]).max() <= bound, path
        assert abs(flat[path].mean()) < bound / 2, path
    bank = flat["identity_bank/kernel"].reshape(-1, 32)
    np.testing.assert_allclose(bank.T @ bank, np.eye(32) * 17**-4, atol=1e-8)
    np.testing.assert_allclose(flat["encoder/conv3/kernel"].std(), math.sqrt(2 / (9 * 32)), rtol=0.05)


@pytest.mark.slow
def test_a_config_sets_first_gains():
    """Three kinds of tensors start as the fields set; all others start as before."""
    fields = {"model.bank_gain": 1, "model.shortcut_gain": 0.1, "model.locality": 2}
    plain, other = initial(), initial(*(f"{name}={value}" for name, value in fields.items()))
    far, near = 2.0, 1.0  # squared cells from the middle of a window of 3
    bias = -2 * np.array([far, near, far, near, 0, near, far, near, far])
    for path, value in plain.items():
        if path == "identity_bank/kernel":
            value = value * 17**2
        elif path.startswith("decoder/adapter") and path.endswith("kernel"):
            value = value * 0.1
        elif path.endswith("relative_k_bias"):
            value = np.broadcast_to(bias, value.shape)
        np.testing.assert_allclose(other[path], value, rtol=1e-5, err_msg=path)
