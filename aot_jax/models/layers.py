"""Layers that the encoders, the LSTT and the decoder share: convolutions, frozen batch norm, drop path, resizing.

Called by every module of `aot_jax.models`. Initial values follow the release: kaiming normal (fan-out) in encoders,
Xavier uniform elsewhere, biases uniform within 1/sqrt(fan-in).
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from aot_jax.typing import Array

Initializer = Callable[..., Array]


def fans_uniform(fan_in: int, fan_out: int) -> Initializer:
    """Return the Xavier uniform initializer for stated fans, for tensors whose shape does not tell them."""
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def bias_uniform(fan_in: int) -> Initializer:
    """Return the initializer of a bias: uniform within 1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def fan_out_normal(fan_out: int) -> Initializer:
    """Return the kaiming normal initializer of the encoders: standard deviation sqrt(2 / fan_out)."""
    return lambda key, shape, dtype=jnp.float32: math.sqrt(2.0 / fan_out) * jax.random.normal(key, shape, dtype)


class Linear(nn.Module):
    """Multiply the channels by a matrix: a linear layer, or a 1x1 convolution on a map. (..., c) to (..., features)."""

    features: int
    use_bias: bool = True
    encoder: bool = False  # chooses the initial values
    gain: float = 1.0  # of the initial kernel, outside the encoder
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        fan_in = x.shape[-1]
        xavier = nn.initializers.variance_scaling(self.gain**2, "fan_avg", "uniform")
        kernel_init = fan_out_normal(self.features) if self.encoder else xavier
        kernel = self.param("kernel", kernel_init, (fan_in, self.features))
        # In two dimensions: XLA's CPU backend differentiates a product over several axes six times as slowly.
        y = x.astype(self.dtype).reshape(-1, fan_in) @ kernel.astype(self.dtype)
        y = y.reshape(*x.shape[:-1], self.features)
        if self.use_bias:
            bias_init = nn.initializers.zeros if self.encoder else bias_uniform(fan_in)
            y = y + self.param("bias", bias_init, (self.features,)).astype(self.dtype)
        return y


class Conv(nn.Module):
    """Convolve a map (b, h, w, c), zero-padded so that stride 1 keeps its size. Kernel (k, k, c, features)."""

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    padding: int | None = None  # zeros on each side; None: dilation * (kernel_size - 1) // 2
    use_bias: bool = False
    encoder: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        taps = self.kernel_size**2
        fan_in, fan_out = x.shape[-1] * taps, self.features * taps
        kernel_init = fan_out_normal(fan_out) if self.encoder else fans_uniform(fan_in, fan_out)
        kernel = self.param("kernel", kernel_init, (self.kernel_size, self.kernel_size, x.shape[-1], self.features))
        pad = self.dilation * (self.kernel_size - 1) // 2 if self.padding is None else self.padding
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.stride == 1 and self.padding is None:
            y = same_conv(x, kernel, self.dilation)
        else:
            y = _conv(x, kernel, self.stride, self.dilation, pad)
        if self.use_bias:
            bias_init = nn.initializers.zeros if self.encoder else bias_uniform(fan_in)
            y = y + self.param("bias", bias_init, (self.features,)).astype(self.dtype)
        return y


def _conv(x: Array, kernel: Array, stride: int, dilation: int, pad: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(pad, pad), (pad, pad)],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def same_conv(x: Array, kernel: Array, dilation: int = 1) -> Array:
    """Convolve a map (b, h, w, c) with a kernel (k, k, c, f), k odd, at stride 1 and zero-padded: (b, h, w, f).

    XLA's CPU backend takes several times too long for the gradient of the kernel, so this has its own.
    """
    return _conv(x, kernel, 1, dilation, dilation * (kernel.shape[0] - 1) // 2)


def _same_conv_forward(x: Array, kernel: Array, dilation: int) -> tuple[Array, tuple[Array, Array]]:
    return same_conv(x, kernel, dilation), (x, kernel)


def _same_conv_backward(dilation: int, saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    size = kernel.shape[0]

    def by_taps(x: Array, grad: Array) -> Array:
        padded, rows, columns = _pad_for_taps(x, size, 1, dilation)
        flat = grad.reshape(-1, grad.shape[-1]).T

        def tap(i: int, j: int) -> Array:
            top, left = i * dilation, j * dilation
            return flat @ padded[:, top : top + rows, left : left + columns].reshape(-1, x.shape[-1])

        taps = jnp.stack([tap(i, j) for i, j in np.ndindex(size, size)])
        return taps.swapaxes(1, 2).reshape(kernel.shape)

    def by_transposition(x: Array, grad: Array) -> Array:
        pad = dilation * (size - 1) // 2
        return jax.vjp(lambda k: _conv(x, k, 1, dilation, pad), kernel)[1](grad)[0]

    kernel_grad = lax.platform_dependent(x, grad, cpu=by_taps, default=by_transposition)
    return same_conv(grad, kernel[::-1, ::-1].swapaxes(2, 3), dilation), kernel_grad


same_conv.defvjp(_same_conv_forward, _same_conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """Convolve each channel with its own k x k kernel, as a sum of k*k shifted products.

    XLA's grouped convolution is an order of magnitude slower on the CPU; this form fuses into one loop everywhere.

    Args:
        x: (b, h, w, c), zero-padded by dilation * (k - 1) // 2.
        kernel: (k, k, c), k odd.
        stride: of the output grid, in cells of x.
        dilation: distance between taps, in cells of x.

    Returns:
        (b, ceil(h / stride), ceil(w / stride), c).
    """
    size = kernel.shape[0]
    padded, rows, columns = _pad_for_taps(x, size, stride, dilation)

    def tap(i: int, j: int) -> Array:
        top, left = i * dilation, j * dilation
        last = top + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1
        return padded[:, top : last[0] : stride, left : last[1] : stride] * kernel[i, j]

    return functools.reduce(operator.add, (tap(i, j) for i, j in np.ndindex(size, size)))


def _pad_for_taps(x: Array, size: int, stride: int, dilation: int) -> tuple[Array, int, int]:
    """Return x with zeros around it, and the rows and columns of the output."""
    pad = dilation * (size - 1) // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return padded, -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def _depthwise_forward(x: Array, kernel: Array, stride: int, dilation: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_conv(x, kernel, stride, dilation), (x, kernel)


def _depthwise_backward(stride: int, dilation: int, saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    # Differentiating the sum tap by tap compiles for minutes: k*k padded sums for x, k*k reductions for the kernel.
    x, kernel = saved
    size = kernel.shape[0]
    padded, rows, columns = _pad_for_taps(x, size, stride, dilation)
    spread = (rows - 1) * stride + 1, (columns - 1) * stride + 1

    def tap(index: Array) -> Array:
        top, left = index // size * dilation, index % size * dilation
        window = lax.dynamic_slice(padded, (0, top, left, 0), (x.shape[0], *spread, x.shape[3]))
        return (window[:, ::stride, ::stride] * grad).sum(axis=(0, 1, 2))

    kernel_grad = lax.map(tap, jnp.arange(size * size)).reshape(kernel.shape)
    pads = [(0, x.shape[axis + 1] - spread[axis], stride - 1) for axis in range(2)]
    spaced = lax.pad(grad, jnp.zeros((), grad.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    return depthwise_conv(spaced, kernel[::-1, ::-1], 1, dilation), kernel_grad


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)


class DepthwiseConv(nn.Module):
    """Convolve each channel of a map (b, h, w, c) on its own; no bias. Kernel (k, k, c)."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    encoder: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        taps, channels = self.kernel_size**2, x.shape[-1]
        fan_out = channels * taps  # as the release counts it, groups or not
        kernel_init = fan_out_normal(fan_out) if self.encoder else fans_uniform(taps, fan_out)
        kernel = self.param("kernel", kernel_init, (self.kernel_size, self.kernel_size, channels))
        return depthwise_conv(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, self.dilation)


class FrozenBatchNorm(nn.Module):
    """Normalise channels by stored statistics; nothing here is ever trained (paper, section 5)."""

    epsilon: float = 1e-5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1],)
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        scale, bias = self.param("scale", ones, shape), self.param("bias", zeros, shape)
        mean, var = self.param("mean", zeros, shape), self.param("var", ones, shape)
        factor = scale * lax.rsqrt(var + self.epsilon)
        factor, offset = lax.stop_gradient((factor, bias - mean * factor))
        return x * factor.astype(self.dtype) + offset.astype(self.dtype)


# Two-pass variance: the one-pass form loses digits that parity needs.
LayerNorm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)
GroupNorm = functools.partial(nn.GroupNorm, epsilon=1e-5, use_fast_variance=False)


def gelu(x: Array) -> Array:
    """Apply the exact (erf) GELU."""
    return jax.nn.gelu(x, approximate=False)


def fold_keys(keys: Array, data: int) -> Array:
    """Fold a constant into each sample's key, (b,) to (b,)."""
    return jax.vmap(lambda key: jax.random.fold_in(key, data))(keys)


def draw_kept(keys: Array | None, rates: np.ndarray) -> Array | None:
    """Draw which branches each sample keeps (stochastic depth), all at once: a draw apiece compiles slowly.

    Args:
        keys: (b,) random keys, one a sample, so that bits do not depend on how a batch is split; None: no dropping.
        rates: (...) the probability of dropping each branch.

    Returns:
        (b, ...) float32: 0 for a branch that is dropped, 1 / (1 - rate) for one that is kept. None for None.
    """
    if keys is None:
        return None
    keep = jax.vmap(lambda key: jax.random.uniform(key, rates.shape) >= rates)(keys)
    return keep / (1 - rates)


def drop_path(x: Array, kept: Array | None) -> Array:
    """Scale a branch (b, ...) by what `draw_kept` drew for it, (b,); None leaves it unchanged."""
    return x if kept is None else x * kept.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))


@functools.lru_cache(maxsize=256)
def _bilinear_matrix(size_in: int, size_out: int, align_corners: bool) -> np.ndarray:
    """Return the (out, in) matrix of linear interpolation along one axis."""
    if align_corners:
        position = np.arange(size_out) * ((size_in - 1) / max(size_out - 1, 1))
    else:
        position = np.maximum((np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5, 0)
    low = np.minimum(position.astype(np.int64), size_in - 1)
    high = np.minimum(low + 1, size_in - 1)
    fraction = position - low
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out), low), 1 - fraction)
    np.add.at(matrix, (np.arange(size_out), high), fraction)
    return matrix.astype(np.float32)


def resize_bilinear(x: Array, size: Sequence[int], align_corners: bool) -> Array:
    """Resize a map (b, h, w, c) to (b, *size, c) by bilinear interpolation, as two small matrix products.

    With `align_corners` the corner cells of both grids coincide; otherwise cells are areas (half-pixel centres) and
    positions outside repeat the edge.
    """
    rows = _bilinear_matrix(x.shape[1], size[0], align_corners)
    columns = _bilinear_matrix(x.shape[2], size[1], align_corners)
    if size[0] != x.shape[1]:
        x = jnp.einsum("Hh,bhwc->bHwc", rows.astype(x.dtype), x)
    if size[1] != x.shape[2]:
        x = jnp.einsum("Ww,bhwc->bhWc", columns.astype(x.dtype), x)
    return x


@functools.lru_cache(maxsize=64)
def sine_position(height: int, width: int, channels: int) -> np.ndarray:
    """Return the sine position embedding (height, width, channels): the first half encodes y, the second x.

    A coordinate is scaled to [0, 2 pi]; channel i is the sine (even i) or cosine (odd i) of the coordinate times
    10000 ** (-2 * (i // 2) / (channels / 2)).
    """
    half = channels // 2
    index = np.arange(half)
    frequency = 10000.0 ** (-2 * (index // 2) / half)

    def encode(length: int) -> np.ndarray:
        angle = (2 * math.pi * np.arange(length) / (length - 1 + 1e-6))[:, None] * frequency
        return np.where(index % 2 == 0, np.sin(angle), np.cos(angle))

    y = np.broadcast_to(encode(height)[:, None], (height, width, half))
    x = np.broadcast_to(encode(width)[None], (height, width, half))
    return np.concatenate([y, x], axis=-1).astype(np.float32)


def check_rank(name: str, x: Array, axes: Sequence[str]) -> None:
    """Raise ValueError unless x has one axis for each letter of `axes`."""
    if x.ndim != len(axes):
        raise ValueError(f"{name} must have axes ({', '.join(axes)}), but its shape is {tuple(x.shape)}")
