"""The network: parameter counts of the paper's models, depth, encoders, ablations, identities."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict, unflatten_dict

from aot_jax.config import load_config
from aot_jax.configs.__main__ import count_parameters
from aot_jax.memory import empty_memory
from aot_jax.models.encoders import ENCODERS
from aot_jax.models.lstt import FrameKV
from aot_jax.network import init_params, make_model
from aot_jax.propagate import begin, memorize, step

pytestmark = pytest.mark.usefixtures("quick_compilation")

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


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [
        ("mobilenet_v2", (24, 32, 96, 1280), 65),
        ("resnet50", (256, 512, 1024, 1024), 65),
        ("swin_b", (128, 256, 512, 512), 64),
        ("small", (48, 96, 192, 192), 64),
        ("small", (48, 96, 192, 192), 65),
    ],
)
def test_encoders_give_maps_at_4_8_16_and_16(name, channels, size):
    encoder = ENCODERS[name]()
    maps, _ = jax.eval_shape(
        lambda x: encoder.init_with_output(jax.random.key(0), x), jnp.zeros((2, size, 2 * size - size % 2, 3))
    )
    rest = size % 2
    want = [
        (2, size // s + rest, 2 * (size - rest) // s + rest, c) for s, c in zip((4, 8, 16, 16), channels, strict=True)
    ]
    assert [x.shape for x in maps] == want


# Values of a tiny network: a reference frame, then a frame that attends to it.

SIZE = (33, 49)
GRID = (3, 4)


def masks(count=4):
    return jnp.asarray(tiny.mask(*SIZE, range(1, count + 1)))[None]


def two_frames(model, depth=None, mask=None, permutation=None):
    """Return the logits of a reference frame and of the next one."""

    @jax.jit
    def run(params, first, second, mask, permutation):
        options = {"depth": depth, "permutation": permutation}
        logits, frame_kv = step(model.module, params, None, first, mask=mask, **options)
        memory = begin(model.module, params, frame_kv, mask, 2, permutation=permutation)
        later, _ = step(model.module, params, memory, second, **options)
        return logits, later

    first, second = tiny.features(1, *GRID), tiny.features(1, *GRID, seed=1)
    return run(model.params, first, second, masks() if mask is None else mask, permutation)


DEEP = ("model.identities=4", "model.depth=3")


@pytest.mark.parametrize("depth", [1, 2])
def test_a_shallow_run_equals_a_shallow_model(depth):
    deep = tiny.load("aost", *DEEP)
    shallow = tiny.load("aost", "model.identities=4", f"model.depth={depth}")
    flat = flatten_dict(deep.params)
    params = unflatten_dict({path: flat[path] for path in flatten_dict(shallow.params)})
    shallow = type(shallow)(shallow.module, params, shallow.config)
    for got, want in zip(two_frames(deep, depth), two_frames(shallow), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert np.ptp(want) > 1


def lstt_flops(depth):
    """Count the compiled operations of the LSTT at the paper's widths.

    XLA counts the body of a loop once, and the fast local attention and CPU attention loop over tiles or blocks. With
    one row of tiles, and fewer tokens than a block, each loop runs once, so the count is complete.
    """
    config = load_config("aost", ["model.encoder=tiny"])
    module = make_model(config)
    params = unflatten_dict(tiny.shapes(module))
    frame = jax.ShapeDtypeStruct((1, 8, 8, 256), jnp.float32)

    def run(params, x, memory):
        return module.apply({"params": params}, x, memory.layers(), None, depth, method="propagate")

    kv = (jax.ShapeDtypeStruct((1, 8, 8, 8, 32), jnp.float32),) * 2
    memory = jax.eval_shape(lambda: empty_memory([FrameKV(*kv)] * depth, 2, 1))
    return jax.jit(run).lower(params, frame, memory).compile().cost_analysis()["flops"]


def test_depth_1_costs_less_than_two_fifths_of_depth_3():
    one, three = lstt_flops(1), lstt_flops(3)
    # The products with a layer's matrices alone are more than this for 64 tokens.
    layer = 2 * 64 * (4 * 256**2 + 2 * 256**2 + 2 * 256**2 + 2 * 256 * 1024)
    assert one > layer
    assert one <= 0.4 * three


def test_depths_that_a_network_does_not_run_at():
    fixed, scalable = (make_model(load_config(name)) for name in ("aotl", "aost"))
    assert fixed.depth(None) == fixed.depth(3) == 3
    assert [scalable.depth(d) for d in (1, 2, 3)] == [1, 2, 3]
    for network, depth in ((fixed, 2), (fixed, 0), (scalable, 0), (scalable, 4)):
        with pytest.raises(ValueError, match=rf"depth is {depth}, but this network runs at"):
            network.depth(depth)


def test_sizes_off_the_grid_are_refused():
    module = make_model(load_config("aott"))
    params = unflatten_dict(tiny.shapes(module))

    def encode(shape):
        return jax.eval_shape(lambda p, x: module.apply({"params": p}, x, method="encode"), params, jnp.zeros(shape))

    with pytest.raises(ValueError, match=r"heights and widths of 16 n \+ 1 pixels, got 33x48"):
        encode((1, 33, 48, 3))
    with pytest.raises(ValueError, match=r"images must have axes \(b, h, w, c\)"):
        encode((33, 49, 3))
    swin = make_model(load_config("aotl_swinb"))
    with pytest.raises(ValueError, match=r"heights and widths of 16 n pixels, got 33x48"):
        jax.eval_shape(lambda x: swin.init(jax.random.key(0), x, x[..., 0]), jnp.zeros((1, 33, 48, 3)))


# The paper's ablations.


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


@pytest.mark.parametrize("override", ["model.sine_position=False", "model.relative_position=False"])
def test_position_embeddings_change_what_comes_out(override):
    base = tiny.load("aost", "model.identities=4", "model.depth=1")
    other = tiny.load("aost", "model.identities=4", "model.depth=1", override)
    flat = flatten_dict(base.params)
    params = unflatten_dict({path: flat[path] for path in flatten_dict(other.params)})
    got = two_frames(type(base)(other.module, params, other.config))
    for a, b in zip(got, two_frames(base), strict=True):
        assert np.abs(a - b).max() > 0.01


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_term_attention_reads_this_many_frames(count):
    """With one layer and given masks, a frame reaches a later one through short-term memory only."""
    model = tiny.load("aost", "model.identities=4", "model.depth=1", f"model.short_term_frames={count}")

    @jax.jit
    def last(params, frames):
        _, frame_kv = step(model.module, params, None, frames[0], mask=masks())
        memory = begin(model.module, params, frame_kv, masks(), 1)
        for t, frame in enumerate(frames[1:-1], 1):
            _, frame_kv = step(model.module, params, memory, frame)
            memory = memorize(model.module, params, memory, frame_kv, masks(), t, keep=False)
        return step(model.module, params, memory, frames[-1])[0]

    frames = [tiny.features(1, *GRID, seed=t) for t in range(4)]
    others = [[*frames[:t], tiny.features(1, *GRID, seed=9), *frames[t + 1 :]] for t in (2, 1)]
    changed = [not np.array_equal(last(model.params, other), last(model.params, frames)) for other in others]
    assert changed == [count >= 1, count >= 2]


def test_bank_without_patches_reads_one_pixel_of_each_patch():
    for name, corner, size in (("aost", 0, (33, 49)), ("aost_swinb", 8, (32, 48))):
        model = tiny.load(name, "model.depth=1", "model.patch_wise_bank=False")
        bank = model.params["identity_bank"]
        assert bank["kernel"].shape == (1, 1, 11, 32)
        mask = np.random.default_rng(0).integers(0, 11, (1, *size))
        got = embed(model, mask)
        np.testing.assert_allclose(got, bank["kernel"][0, 0][mask[:, corner::16, corner::16]] + bank["bias"], atol=1e-5)


@functools.cache
def bank_of(module):
    return jax.jit(lambda params, mask, p: module.bind({"params": params}).identity_bank(mask, p))


def embed(model, mask, permutation=None):
    return np.asarray(bank_of(model.module)(model.params, jnp.asarray(mask), permutation))


def test_patch_wise_bank_by_loop():
    model = tiny.load("aost", "model.depth=1")
    kernel, bias = (np.asarray(model.params["identity_bank"][leaf], np.float64) for leaf in ("kernel", "bias"))
    mask = np.random.default_rng(0).integers(0, 11, (1, 33, 49))
    mask[0, :20, :20] = 255
    got = embed(model, mask)
    assert got.shape == (1, 3, 4, 32)
    for y, x in np.ndindex(3, 4):
        want = bias.copy()
        for i, j in np.ndindex(17, 17):
            row, column = 16 * y + i - 8, 16 * x + j - 8
            if 0 <= row < 33 and 0 <= column < 49 and mask[0, row, column] <= 10:
                want += kernel[i, j, mask[0, row, column]]
        np.testing.assert_allclose(got[0, y, x], want, atol=1e-4)


def test_void_embeds_as_nothing():
    model = tiny.load("aost", "model.depth=1")
    got = embed(model, np.full((1, 33, 49), 255))
    np.testing.assert_array_equal(got, np.broadcast_to(model.params["identity_bank"]["bias"], got.shape))
    assert np.abs(embed(model, np.zeros((1, 33, 49), int)) - got).max() > 0.1  # background does embed


def test_permutation_renames_identities_in_the_bank():
    model = tiny.load("aost", "model.depth=1")
    mask = np.random.default_rng(1).integers(0, 11, (2, 33, 49))
    mask[:, :5] = 255
    permutation = np.stack([np.random.default_rng(i).permutation(10) for i in range(2)])
    renamed = mask.copy()
    for b, i in np.ndindex(2, 10):
        renamed[b][mask[b] == i + 1] = permutation[b, i] + 1
    np.testing.assert_array_equal(embed(model, mask, jnp.asarray(permutation)), embed(model, renamed))


def test_permuted_clip_equals_a_clip_of_a_permuted_bank():
    """Objects keep their channels whatever identities they take: rows of bank and read-out are permuted alike."""
    model = tiny.load("aost", "model.identities=4", "model.depth=1")
    permutation = jnp.array([2, 0, 3, 1])
    rows = jnp.concatenate([jnp.array([0]), permutation + 1])
    flat = flatten_dict(model.params, sep="/")
    flat["identity_bank/kernel"] = flat["identity_bank/kernel"][:, :, rows]
    flat["decoder/conv_out/kernel"] = flat["decoder/conv_out/kernel"][:, rows]
    flat["decoder/conv_out/bias"] = flat["decoder/conv_out/bias"][rows]
    moved = type(model)(model.module, unflatten_dict(flat, sep="/"), model.config)
    plain = two_frames(model)
    for got, want, other in zip(
        two_frames(model, permutation=permutation[None]), two_frames(moved), plain, strict=True
    ):
        np.testing.assert_allclose(got, want, atol=2e-5)
        assert np.abs(got - other).max() > 0.01


def test_initial_values():
    """Xavier uniform with the release's fans, biases within 1/sqrt(fan-in), an orthogonal bank of gain 17^-2."""
    module = tiny_model("aost", "model.depth=1")  # 32 channels, 2 heads of 16, 9 offsets
    flat = {"/".join(path): np.asarray(leaf) for path, leaf in flatten_dict(init_params(module, 1)).items()}
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


def test_a_config_sets_first_gains():
    """Three kinds of tensors start as the fields set; all others start as before."""
    fields = {"model.bank_gain": 1, "model.shortcut_gain": 0.1, "model.locality": 2}
    plain, other = (
        flatten_dict(init_params(tiny_model("aost", "model.depth=1", *overrides), 1), sep="/")
        for overrides in ((), [f"{name}={value}" for name, value in fields.items()])
    )
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
