"""Convolutions with gradients that XLA computes fast."""

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from aot_jax.ops.forms import by_platform
from aot_jax.typing import Array


def convolve(x: Array, kernel: Array, stride: int, dilation: int, pad: int, **options: Any) -> Array:
    """Convolve a map (b, h, w, c) with a kernel (k, k, c, f), with `pad` zeros on each side: (b, h', w', f).

    `options` are further arguments of `lax.conv_general_dilated`.
    """
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=[(pad, pad), (pad, pad)],
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        **options,
    )


def strided_conv(x: Array, kernel: Array, stride: int, dilation: int, pad: int) -> Array:
    """Convolve as `convolve`; on the CPU a 3x3 kernel reads an image's three channels and one of zeros.

    XLA's CPU backend takes three times as long for three channels as for four.
    """
    plain = functools.partial(convolve, stride=stride, dilation=dilation, pad=pad)
    if kernel.shape[:3] != (3, 3, 3):
        return plain(x, kernel)

    def with_zeros(x: Array, kernel: Array) -> Array:
        none, one = (0, 0), (0, 1)
        return plain(jnp.pad(x, (none, none, none, one)), jnp.pad(kernel, (none, none, one, none)))

    return by_platform("image", x, kernel, cpu=with_zeros, gpu=plain)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def same_conv(x: Array, kernel: Array, dilation: int = 1) -> Array:
    """Convolve a map (b, h, w, c) with a kernel (k, k, c, f), k odd, at stride 1 and zero-padded: (b, h, w, f).

    The gradient of the kernel is defined here, as XLA's CPU backend is several times slower at it.
    """
    return convolve(x, kernel, 1, dilation, dilation * (kernel.shape[0] - 1) // 2)


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
        return jax.vjp(lambda k: convolve(x, k, 1, dilation, pad), kernel)[1](grad)[0]

    kernel_grad = by_platform("kernels", x, grad, cpu=by_taps, gpu=by_transposition)
    return same_conv(grad, kernel[::-1, ::-1].swapaxes(2, 3), dilation), kernel_grad


same_conv.defvjp(_same_conv_forward, _same_conv_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """Convolve each channel with its own k x k kernel; sums are float32, rounded to the type of x at the end.

    On the CPU this is a sum of k*k shifted products, which fuse into one loop: XLA's grouped convolution is an order of
    magnitude slower there.

    Args:
        x: (b, h, w, c); it is padded with dilation * (k - 1) // 2 zeros on each side.
        kernel: (k, k, c) float32, k odd. Rounded to bfloat16, these few weights would change an encoder's maps as much
            as all other rounding.
        stride: of the output grid, in cells of x.
        dilation: distance between taps, in cells of x.

    Returns:
        (b, ceil(h / stride), ceil(w / stride), c).
    """
    shifted, grouped = (functools.partial(form, stride=stride, dilation=dilation) for form in (_shifted, _grouped))
    return by_platform("depthwise", x, kernel, cpu=shifted, gpu=grouped)


def _grouped(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    pad = dilation * (kernel.shape[0] - 1) // 2
    options = {"feature_group_count": x.shape[-1], "precision": lax.Precision.HIGHEST}
    return convolve(x.astype(jnp.float32), kernel[:, :, None], stride, dilation, pad, **options).astype(x.dtype)


@functools.partial(jax.jit, static_argnames=("stride", "dilation"))  # traced once for each shape
def _shifted(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    size = kernel.shape[0]
    padded, rows, columns = _pad_for_taps(x, size, stride, dilation)

    def tap(i: int, j: int) -> Array:
        top, left = i * dilation, j * dilation
        last = top + (rows - 1) * stride + 1, left + (columns - 1) * stride + 1
        window = padded[:, top : last[0] : stride, left : last[1] : stride]
        return window.astype(jnp.float32) * kernel[i, j]

    return functools.reduce(operator.add, (tap(i, j) for i, j in np.ndindex(size, size))).astype(x.dtype)


def _pad_for_taps(x: Array, size: int, stride: int, dilation: int) -> tuple[Array, int, int]:
    """Return x zero-padded, and the rows and columns of the output."""
    pad = dilation * (size - 1) // 2
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    return padded, -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def _depthwise_forward(x: Array, kernel: Array, stride: int, dilation: int) -> tuple[Array, tuple[Array, Array]]:
    return depthwise_conv(x, kernel, stride, dilation), (x, kernel)


def _depthwise_backward(stride: int, dilation: int, saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    by_taps = functools.partial(_shifted_gradients, stride=stride, dilation=dilation)

    def by_transposition(x: Array, kernel: Array, grad: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, kernel: _grouped(x, kernel, stride, dilation), x, kernel)[1](grad)

    return by_platform("depthwise", x, kernel, grad, cpu=by_taps, gpu=by_transposition)


def _shifted_gradients(x: Array, kernel: Array, grad: Array, stride: int, dilation: int) -> tuple[Array, Array]:
    # Differentiating the sum tap by tap compiles for minutes: k*k padded sums for x, k*k reductions for the kernel.
    size = kernel.shape[0]
    padded, rows, columns = _pad_for_taps(x, size, stride, dilation)
    spread = (rows - 1) * stride + 1, (columns - 1) * stride + 1

    def tap(index: Array) -> Array:
        top, left = index // size * dilation, index % size * dilation
        window = lax.dynamic_slice(padded, (0, top, left, 0), (x.shape[0], *spread, x.shape[3]))
        return (window[:, ::stride, ::stride].astype(jnp.float32) * grad).sum(axis=(0, 1, 2))

    kernel_grad = lax.map(tap, jnp.arange(size * size)).reshape(kernel.shape)
    pads = [(0, x.shape[axis + 1] - spread[axis], stride - 1) for axis in range(2)]
    spaced = lax.pad(grad, jnp.zeros((), grad.dtype), [(0, 0, 0), *pads, (0, 0, 0)])
    return _shifted(spaced, kernel[::-1, ::-1], 1, dilation), kernel_grad


depthwise_conv.defvjp(_depthwise_forward, _depthwise_backward)
