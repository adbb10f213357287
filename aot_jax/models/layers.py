"""Layers that the encoders, the LSTT and the decoder share: linear, convolutions, frozen norm, drop path, resizing.

Initial values follow the release: kaiming normal (fan-out) in encoders, Xavier uniform elsewhere, biases uniform within
1/sqrt(fan-in).
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype
from jax import lax

from aot_jax.ops.convolution import depthwise_conv, same_conv, strided_conv
from aot_jax.typing import Array

Initializer = Callable[..., Array]


def fans_uniform(fan_in: int, fan_out: int) -> Initializer:
    """Return the Xavier uniform initializer for given fans, for tensors whose shape does not tell them."""
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def bias_uniform(fan_in: int) -> Initializer:
    """Return the initializer of a bias: uniform within 1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


def fan_out_normal(fan_out: int) -> Initializer:
    """Return the kaiming normal initializer of the encoders: standard deviation sqrt(2 / fan_out)."""
    return lambda key, shape, dtype=jnp.float32: math.sqrt(2.0 / fan_out) * jax.random.normal(key, shape, dtype)


def parameter(layer: nn.Module, name: str, initializer: Initializer, shape: tuple[int, ...]) -> Array:
    """Return a layer's parameter, drawn by `initializer(key, shape)` if it does not exist yet.

    Flax's `param` does the same, but traces the initializer, to compare shapes, whenever it traces the layer: this
    would be half of the time that it takes to trace a network.

    Raises:
        ValueError: if the parameter has another shape.
    """
    if not layer.has_variable("params", name):
        return layer.param(name, initializer, shape)
    value: Array = layer.get_variable("params", name)
    if value.shape != shape:
        raise ValueError(f"{'/'.join((*layer.path, name))} has shape {value.shape}, but this network needs {shape}")
    return value


class Linear(nn.Module):
    """Multiply the channels by a matrix: a linear layer, or a 1x1 convolution on a map. (..., c) to (..., features)."""

    features: int
    use_bias: bool = True
    encoder: bool = False  # initialise as in the encoders
    gain: float = 1.0  # gain of the initial kernel, unless `encoder`
    dtype: Dtype = jnp.float32

    @nn.compact
    def weights(self, fan_in: int) -> tuple[Array, Any]:
        """Return the kernel (fan_in, features) and the bias (features,), if any, for a product made elsewhere."""
        xavier = nn.initializers.variance_scaling(self.gain**2, "fan_avg", "uniform")
        kernel_init = fan_out_normal(self.features) if self.encoder else xavier
        kernel = parameter(self, "kernel", kernel_init, (fan_in, self.features))
        bias_init = nn.initializers.zeros if self.encoder else bias_uniform(fan_in)
        return kernel, parameter(self, "bias", bias_init, (self.features,)) if self.use_bias else None

    def __call__(self, x: Array) -> Array:
        kernel, bias = self.weights(x.shape[-1])
        # One matrix product: XLA's CPU backend takes six times as long to differentiate x of more axes.
        y = x.astype(self.dtype).reshape(-1, x.shape[-1]) @ kernel.astype(self.dtype)
        y = y.reshape(*x.shape[:-1], self.features)
        return y if bias is None else y + bias.astype(self.dtype)


class Conv(nn.Module):
    """Convolve a map (b, h, w, c), zero-padded so that stride 1 keeps its size. Kernel (k, k, c, features)."""

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    padding: int | None = None  # zeros on each side; None: dilation * (kernel_size - 1) // 2
    use_bias: bool = False
    encoder: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        taps = self.kernel_size**2
        fan_in, fan_out = x.shape[-1] * taps, self.features * taps
        kernel_init = fan_out_normal(fan_out) if self.encoder else fans_uniform(fan_in, fan_out)
        kernel = parameter(
            self, "kernel", kernel_init, (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        )
        pad = self.dilation * (self.kernel_size - 1) // 2 if self.padding is None else self.padding
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if self.stride == 1 and self.padding is None:
            y = same_conv(x, kernel, self.dilation)
        else:
            y = strided_conv(x, kernel, self.stride, self.dilation, pad)
        if self.use_bias:
            bias_init = nn.initializers.zeros if self.encoder else bias_uniform(fan_in)
            y = y + parameter(self, "bias", bias_init, (self.features,)).astype(self.dtype)
        return y


class DepthwiseConv(nn.Module):
    """Convolve each channel of a map (b, h, w, c) on its own; no bias. Kernel (k, k, c)."""

    kernel_size: int
    stride: int = 1
    dilation: int = 1
    encoder: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        taps, channels = self.kernel_size**2, x.shape[-1]
        fan_out = channels * taps  # as in the release, which ignores the groups
        kernel_init = fan_out_normal(fan_out) if self.encoder else fans_uniform(taps, fan_out)
        kernel = parameter(self, "kernel", kernel_init, (self.kernel_size, self.kernel_size, channels))
        return depthwise_conv(x.astype(self.dtype), kernel, self.stride, self.dilation)


class FrozenBatchNorm(nn.Module):
    """Normalise channels by stored statistics; no parameter is ever trained (paper, section 5)."""

    epsilon: float = 1e-5
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = (x.shape[-1],)
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        scale, bias = parameter(self, "scale", ones, shape), parameter(self, "bias", zeros, shape)
        mean, var = parameter(self, "mean", zeros, shape), parameter(self, "var", ones, shape)
        return _normalise(x, scale, bias, mean, var, self.epsilon).astype(self.dtype)


@functools.partial(jax.jit, static_argnums=5)  # traced once for each shape
def _normalise(x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float) -> Array:
    factor = scale * lax.rsqrt(var + epsilon)
    factor, offset = lax.stop_gradient((factor, bias - mean * factor))
    return x.astype(jnp.float32) * factor + offset  # in float32, as large terms cancel


# Two-pass variance: the one-pass form is too inexact to match the release.
LayerNorm = functools.partial(nn.LayerNorm, epsilon=1e-5, use_fast_variance=False)
GroupNorm = functools.partial(nn.GroupNorm, epsilon=1e-5, use_fast_variance=False)


def gelu(x: Array) -> Array:
    """Apply the exact (erf) GELU."""
    return jax.nn.gelu(x, approximate=False)


def fold_keys(keys: Array, data: int) -> Array:
    """Fold a constant into each sample's key, (b,) to (b,)."""
    return jax.vmap(lambda key: jax.random.fold_in(key, data))(keys)


def draw_kept(keys: Array | None, rates: np.ndarray) -> Array | None:
    """Draw which branches each sample keeps (stochastic depth), in one call: many calls compile slowly.

    Args:
        keys: (b,) random keys of the samples, so that the result does not depend on how a batch is split; None: no
            dropping.
        rates: (...) the probability of dropping each branch.

    Returns:
        (b, ...) float32: 0 for a branch that is dropped, 1 / (1 - rate) for one that is kept. None without keys.
    """
    if keys is None:
        return None
    keep = jax.vmap(lambda key: jax.random.uniform(key, rates.shape) >= rates)(keys)
    return keep / (1 - rates)


def drop_path(x: Array, kept: Array | None) -> Array:
    """Scale a branch (b, ...) by its factors (b,) from `draw_kept`; None leaves it unchanged."""
    return x if kept is None else x * kept.astype(x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))


def _neighbours(size_in: int, size_out: int, align_corners: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two input cells around each output cell, and its distance from the first; (out,) each."""
    if align_corners:
        position = np.arange(size_out) * ((size_in - 1) / max(size_out - 1, 1))
    else:
        position = np.maximum((np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5, 0)
    low = np.minimum(position.astype(np.int64), size_in - 1)
    return low, np.minimum(low + 1, size_in - 1), position - low


@functools.lru_cache(maxsize=256)
def _bilinear_matrix(size_in: int, size_out: int, align_corners: bool) -> np.ndarray:
    """Return the (out, in) matrix of linear interpolation along one axis."""
    low, high, fraction = _neighbours(size_in, size_out, align_corners)
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


def resize_planes(x: Array, size: Sequence[int], align_corners: bool) -> Array:
    """Resize (b, h, w, c) as `resize_bilinear` does, with channels before cells: (b, c, *size).

    For few channels and a large output: operations then run along rows of pixels.
    """
    x = jnp.moveaxis(x, -1, 1)
    if size[1] != x.shape[3]:
        columns = _bilinear_matrix(x.shape[3], size[1], align_corners).astype(x.dtype)
        x = (x.reshape(-1, x.shape[3]) @ columns.T).reshape(*x.shape[:3], -1)
    if size[0] != x.shape[2]:
        low, high, fraction = _neighbours(x.shape[2], size[0], align_corners)
        part = fraction.astype(x.dtype)[:, None]
        x = x[:, :, low] * (1 - part) + x[:, :, high] * part
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
