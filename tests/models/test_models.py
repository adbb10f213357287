"""The network: encoders, depth, ablations, identities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict, unflatten_dict

from aot_jax.config import load_config
from aot_jax.memory import empty_memory
from aot_jax.models.encoders import ENCODERS
from aot_jax.models.lstt import FrameKV
from aot_jax.network import make_model
from aot_jax.propagate import begin, memorize, step
from bench.programs import count_flops


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


@functools.partial(jax.jit, static_argnums=(0, 1))
def run_two(module, depth, params, first, second, mask, permutation):
    options = {"depth": depth, "permutation": permutation}
    logits, frame_kv = step(module, params, None, first, mask=mask, **options)
    memory = begin(module, params, frame_kv, mask, 2, permutation=permutation)
    later, _ = step(module, params, memory, second, **options)
    return logits, later


def two_frames(model, depth=None, permutation=None):
    """Return the logits of a reference frame and of the next one."""
    first, second = tiny.features(1, *GRID), tiny.features(1, *GRID, seed=1)
    return run_two(model.module, depth, model.params, first, second, masks(), permutation)


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
    """Count the operations of the LSTT at the paper's widths."""
    config = load_config("aost", ["model.encoder=tiny"])
    module = make_model(config)
    params = unflatten_dict(tiny.shapes(module))
    frame = jax.ShapeDtypeStruct((1, 8, 8, 256), jnp.float32)

    def run(params, x, memory):
        return module.apply({"params": params}, x, memory.layers(), None, depth, method="propagate")

    kv = (jax.ShapeDtypeStruct((1, 8, 8, 8, 32), jnp.float32),) * 2
    memory = jax.eval_shape(lambda: empty_memory([FrameKV(*kv)] * depth, 2, 1))
    return count_flops(jax.jit(run).trace(params, frame, memory).jaxpr)


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
