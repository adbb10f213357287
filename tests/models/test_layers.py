"""Shared layers: convolution, resizing, frozen batch norm, drop path, sine position, attention to frames."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tiny import normal, value_and_gradients

from aot_jax.models.decoder import ConvNorm
from aot_jax.models.layers import (
    Conv,
    FrozenBatchNorm,
    check_rank,
    draw_kept,
    drop_path,
    fold_keys,
    gelu,
    resize_bilinear,
    resize_planes,
    sine_position,
)
from aot_jax.ops import attention
from aot_jax.ops.attention import attend, attend_frames
from aot_jax.ops.convolution import depthwise_conv, same_conv


def grouped_conv(x, kernel, stride, dilation):
    """XLA's own depthwise convolution."""
    pad = dilation * (kernel.shape[0] - 1) // 2
    return lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        [(pad, pad), (pad, pad)],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation"),
    [
        ((7, 9), 3, 1, 1),
        ((7, 10), 3, 2, 1),
        ((8, 5), 3, 2, 2),
        ((1, 6), 5, 1, 1),
    ],
)
def test_depthwise_conv_equals_grouped_convolution(size, kernel, stride, dilation):
    x, taps = normal(2, *size, 6), normal(kernel, kernel, 6, seed=1)
    ours, want = (
        value_and_gradients(lambda x, taps, conv=conv: conv(x, taps, stride, dilation), x, taps)
        for conv in (depthwise_conv, grouped_conv)
    )
    for mine, theirs in zip(ours, want, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_depthwise_conv_rounds_only_its_result_to_bfloat16():
    x, taps, cotangent = normal(1, 6, 5, 8).astype(jnp.bfloat16), normal(3, 3, 8, seed=1), normal(1, 6, 5, 8, seed=2)

    @jax.jit
    def run(x, taps):
        out, pull = jax.vjp(depthwise_conv, x, taps)
        return out, *pull(cotangent.astype(jnp.bfloat16).astype(out.dtype))

    half, full = run(x, taps), run(x.astype(jnp.float32), taps)
    assert [y.dtype for y in half] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
    np.testing.assert_array_equal(half[0], full[0].astype(jnp.bfloat16))
    np.testing.assert_array_equal(half[1], full[1].astype(jnp.bfloat16))
    np.testing.assert_allclose(half[2], full[2], rtol=1e-5)


def bilinear_pixel(x, i, j, size, align_corners):
    """Interpolate one output pixel of a map (h, w, c), by the formula."""

    def source(index, old, new):
        if align_corners:
            place = index * (old - 1) / (new - 1) if new > 1 else 0.0
        else:
            place = max((index + 0.5) * old / new - 0.5, 0.0)
        low = min(math.floor(place), old - 1)
        return low, min(low + 1, old - 1), place - low

    (top, bottom, fy), (left, right, fx) = source(i, x.shape[0], size[0]), source(j, x.shape[1], size[1])
    upper = (1 - fx) * x[top, left] + fx * x[top, right]
    lower = (1 - fx) * x[bottom, left] + fx * x[bottom, right]
    return (1 - fy) * upper + fy * lower


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(
    ("old", "new"), [((3, 4), (7, 9)), ((9, 7), (4, 3)), ((1, 5), (4, 1)), ((1, 1), (3, 2)), ((5, 6), (5, 6))]
)
def test_resize_bilinear_follows_the_formula(old, new, align_corners):
    x = normal(2, *old, 3)
    want = np.array(
        [[[bilinear_pixel(np.asarray(one), i, j, new, align_corners) for j in range(new[1])] for i in range(new[0])]
         for one in x]
    )  # fmt: skip
    resized, planes = jax.jit(lambda x: [f(x, new, align_corners) for f in (resize_bilinear, resize_planes)])(x)
    np.testing.assert_allclose(resized, want, atol=2e-6)
    np.testing.assert_allclose(planes, want.transpose(0, 3, 1, 2), atol=2e-6)


def test_resize_bilinear_by_hand():
    x = jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(resize_bilinear(x, (1, 5), True).ravel(), [0, 1, 2, 3, 4], atol=1e-6)
    np.testing.assert_allclose(resize_bilinear(x, (1, 4), False).ravel(), [0, 1, 3, 4], atol=1e-6)


def test_frozen_batch_norm_normalises_and_is_never_trained():
    x = normal(2, 3, 3, 4)
    scale, bias, mean, var = (np.array([1, 2, 3, 4.0]), np.array([0, 1, 0, -1.0]), np.full(4, 0.5), np.full(4, 3.0))
    params = {"scale": scale, "bias": bias, "mean": mean, "var": var}
    params = jax.tree.map(jnp.float32, params)

    def run(params, x):
        return FrozenBatchNorm().apply({"params": params}, x)

    found, of_params, of_x = value_and_gradients(run, params, x)
    np.testing.assert_allclose(found, (np.asarray(x) - mean) / np.sqrt(var + 1e-5) * scale + bias, atol=1e-5)
    for name, gradient in of_params.items():
        np.testing.assert_array_equal(gradient, 0, err_msg=name)
    assert np.abs(of_x).min() > 0


def test_frozen_batch_norm_cancels_before_it_rounds():
    params = {"scale": 1.0, "bias": 0.01, "mean": 300.0, "var": 0.01}
    params = {name: jnp.full(1, value, jnp.float32) for name, value in params.items()}
    x = jnp.array([300.0, 302.0]).reshape(1, 2, 1, 1).astype(jnp.bfloat16)
    got = FrozenBatchNorm(dtype=jnp.bfloat16).apply({"params": params}, x)
    want = FrozenBatchNorm().apply({"params": params}, x.astype(jnp.float32))
    np.testing.assert_allclose(want.ravel(), [0.01, 20.0], atol=0.02)
    np.testing.assert_array_equal(got, want.astype(jnp.bfloat16))


def test_drop_path_zeroes_whole_samples_and_keeps_the_expectation():
    keys = jax.random.split(jax.random.key(0), 4000)
    x = jnp.ones((4000, 2, 3)) * jnp.array([1.0, -2, 3])
    out = np.asarray(drop_path(x, draw_kept(keys, np.array(0.3))))
    dropped = (out == 0).all(axis=(1, 2))
    np.testing.assert_allclose(out[~dropped], np.broadcast_to(x[0] / 0.7, out[~dropped].shape), rtol=1e-6)
    assert abs(dropped.mean() - 0.3) < 0.03  # four standard deviations
    np.testing.assert_allclose(out.mean(axis=0), x[0], rtol=0.05)


def test_drop_path_does_not_depend_on_how_a_batch_is_split():
    keys = jax.random.split(jax.random.key(1), 8)
    x = normal(8, 2, 2)
    rates = np.array([[0.5, 0.0], [0.5, 0.1]])
    kept = draw_kept(keys, rates)
    assert kept.shape == (8, 2, 2)
    np.testing.assert_array_equal(kept, jnp.concatenate([draw_kept(keys[:3], rates), draw_kept(keys[3:], rates)]))
    assert 0 < int((drop_path(x, kept[:, 0, 0]) == 0).all(axis=(1, 2)).sum()) < 8
    np.testing.assert_array_equal(kept[:, 0, 1], 1)
    assert not np.array_equal(kept[:, 0, 0], kept[:, 1, 0])
    folded = fold_keys(keys, 7)
    np.testing.assert_array_equal(jax.random.key_data(folded[3:]), jax.random.key_data(fold_keys(keys[3:], 7)))
    assert not np.array_equal(jax.random.key_data(folded), jax.random.key_data(fold_keys(keys, 8)))


def test_drop_path_without_keys_or_rate_changes_nothing():
    x = normal(2, 3)
    assert drop_path(x, None) is x
    assert draw_kept(None, np.zeros(2)) is None
    np.testing.assert_array_equal(draw_kept(jax.random.split(jax.random.key(0), 2), np.zeros(3)), np.ones((2, 3)))


@pytest.mark.parametrize(("height", "width"), [(5, 9), (1, 3)])
def test_sine_position_follows_the_formula(height, width):
    position = sine_position(height, width, 32)
    assert position.shape == (height, width, 32)
    for y, x, i in [(0, 0, 0), (0, 0, 1), (0, 2, 5), (height - 1, width - 1, 0), (height // 2, 1, 14), (0, 1, 15)]:
        for place, length, channel in ((y, height, i), (x, width, 16 + i)):
            angle = 2 * math.pi * place / (length - 1 + 1e-6) * 10000 ** (-2 * (i // 2) / 16)
            want = math.sin(angle) if i % 2 == 0 else math.cos(angle)
            assert position[y, x, channel] == pytest.approx(want, abs=1e-6), (y, x, channel)


def test_gelu_is_exact():
    x = np.linspace(-4, 4, 41)
    want = [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]
    np.testing.assert_allclose(gelu(jnp.float32(x)), want, atol=1e-6)


def test_convolution_keeps_the_size_at_stride_1_and_pads_evenly():
    x = jnp.zeros((1, 7, 8, 2)).at[0, 3, 4].set(1.0)
    kernel = normal(3, 3, 2, 5, seed=3)
    out = Conv(5, 3, dilation=2).apply({"params": {"kernel": kernel}}, x)
    assert out.shape == (1, 7, 8, 5)
    # An impulse reads the kernel back, mirrored.
    np.testing.assert_allclose(out[0, 1::2, 2::2][:3, :3], kernel[::-1, ::-1].sum(axis=2), atol=1e-6)


def test_a_parameter_of_another_shape_is_named():
    params = {"conv": {"kernel": np.zeros((2, 5)), "bias": np.zeros(5)}}
    with pytest.raises(ValueError, match=r"^conv/kernel has shape \(2, 5\), but this network needs \(3, 5\)"):
        ConvNorm(5, 1).apply({"params": params}, jnp.zeros((1, 2, 2, 3)))


def test_check_rank_names_shape_and_axes():
    with pytest.raises(ValueError, match=r"images must have axes \(b, h, w, c\), but its shape is \(3, 4\)"):
        check_rank("images", jnp.zeros((3, 4)), "bhwc")


@pytest.mark.parametrize("dilation", [1, 2])
def test_same_conv_has_the_gradients_of_the_convolution_it_stands_for(dilation):
    x, kernel = normal(2, 7, 5, 3), normal(3, 3, 3, 4, seed=1)

    def plain(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    ours = value_and_gradients(lambda x, kernel: same_conv(x, kernel, dilation), x, kernel)
    theirs = value_and_gradients(plain, x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("cells", [20, 300])
def test_attention_to_frames_equals_attention_to_their_tokens(cells, monkeypatch):
    monkeypatch.setattr(attention, "SCORES", 2000)  # several blocks of the 300 queries, none of the 20
    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(rng.standard_normal((2, 2, *shape, 4)), jnp.float32) for shape in ((cells,), (3, 7), (3, 7)))
    k = 3 * k  # sharp
    valid = jnp.array([[True, True, False], [False, True, False]])
    tokens = jnp.repeat(valid, 7, axis=1)

    def by_tokens(q, k, v):
        return attend(q, k.reshape(2, 2, 21, 4), v.reshape(2, 2, 21, 4), tokens)

    want = value_and_gradients(by_tokens, q, k, v)
    got = value_and_gradients(lambda q, k, v: attend_frames(q, k, v, valid), q, k, v)
    plain = jax.jit(lambda: attend_frames(q, k, v, valid))()  # another code path, without gradients
    for a, b in zip((plain, *got), (want[0], *want), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert np.abs(np.subtract(*want[0])).max() > 0.5
    everything = jax.jit(lambda: attend_frames(q, k, v, None))()
    np.testing.assert_allclose(everything, attend(q, k.reshape(2, 2, 21, 4), v.reshape(2, 2, 21, 4)), atol=2e-6)
    nothing = jax.jit(lambda: attend_frames(q, k, v, jnp.zeros_like(valid)))()
    assert np.isfinite(nothing).all()


def test_shared_queries_and_keys_weigh_each_samples_values_alike(monkeypatch):
    monkeypatch.setattr(attention, "SCORES", 500)
    rng = np.random.default_rng(0)
    q, k = (jnp.asarray(rng.standard_normal((1, 2, *shape, 4)), jnp.float32) for shape in ((150,), (3, 7)))
    v = jnp.asarray(rng.standard_normal((3, 2, 3, 7, 9)), jnp.float32)  # wider than keys, as DeAOT's
    k = 30 * k.at[:, :, 1].multiply(5)  # so sharp that one frame's scores vanish beside another's
    valid = jnp.array([[True, True, False], [True, False, True], [True, False, False]])
    got = jax.jit(attend_frames)(q, k, v, valid)
    want = jax.jit(attend_frames)(jnp.repeat(q, 3, axis=0), jnp.repeat(k, 3, axis=0), v, valid)
    np.testing.assert_allclose(got, want, atol=2e-6)
    everything = jax.jit(attend_frames)(q, k, v, None)
    assert np.abs(np.asarray(got - everything)).max(axis=(1, 2, 3)).min() > 0.5
