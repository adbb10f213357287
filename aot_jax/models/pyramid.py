"""One step up the decoder's pyramid: upsample a map twofold, add a finer one through a linear layer, convolve 3x3.

    y = conv(resize(x) + features A + a)

The form for the CPU saves most of the arithmetic. Resizing commutes with products over channels, so each tap of the
kernel is applied to the coarse map, which has a quarter of the cells. The finer map, shared by all groups of objects
and all depths, is convolved once; if it has fewer channels than the coarse map, A and the kernel are multiplied first.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax

from aot_jax.models.layers import bias_uniform, fans_uniform, parameter, resize_bilinear
from aot_jax.ops.convolution import same_conv
from aot_jax.ops.forms import by_platform
from aot_jax.typing import Array

WORTH = 1e8  # fewest multiplications saved that justify a larger program; about a millisecond


class ConvUp(nn.Module):
    """Upsample a map, add a finer one, convolve; parameters are those of a 3x3 `Conv` with bias."""

    features: int
    align_corners: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, fine: Array, adapter: Array, adapter_bias: Array) -> Array:
        """Map x (b, h, w, c) and `fine` (s, h', w', f) to (b, h', w', features).

        Args:
            x: the coarse map.
            fine: encoder map; sample i of x uses map i % s.
            adapter: (f, c) the linear layer that brings `fine` to c channels.
            adapter_bias: (c,).
        """
        channels = x.shape[-1]
        kernel_init = fans_uniform(9 * channels, 9 * self.features)
        kernel = parameter(self, "kernel", kernel_init, (3, 3, channels, self.features))
        bias = parameter(self, "bias", bias_uniform(9 * channels), (self.features,))
        operands = [operand.astype(self.dtype) for operand in (x, fine, adapter, adapter_bias, kernel)]

        def at_once(x: Array, fine: Array, adapter: Array, adapter_bias: Array, kernel: Array) -> Array:
            x = resize_bilinear(x, fine.shape[1:3], self.align_corners)
            return same_conv(add_shared(x, fine @ adapter + adapter_bias), kernel)

        def in_parts(x: Array, fine: Array, adapter: Array, adapter_bias: Array, kernel: Array) -> Array:
            if fine.shape[-1] < adapter.shape[-1]:
                # The bias enters as a channel of ones, so that the convolution's padding stays zero. Channels of zeros
                # follow, as XLA's CPU backend is a third faster with a multiple of eight.
                zeros = -(fine.shape[-1] + 1) % 8
                fine = jnp.concatenate([fine, jnp.ones_like(fine[..., :1])], axis=-1)
                fine = jnp.pad(fine, [(0, 0)] * 3 + [(0, zeros)])
                adapter = jnp.pad(jnp.concatenate([adapter, adapter_bias[None]]), [(0, zeros), (0, 0)])
                shared = same_conv(fine, jnp.einsum("cd,ijdf->ijcf", adapter, kernel))
            else:
                shared = same_conv(fine @ adapter + adapter_bias, kernel)
            return add_shared(conv_doubled(x, kernel, self.align_corners), shared)

        doubled = _doubled(x.shape[1:3], self.align_corners) == fine.shape[1:3]
        # Multiplications per kernel tap, cell of the fine map and output feature.
        in_full = x.shape[0] * channels
        less = in_full / 4 + fine.shape[0] * min(fine.shape[-1], channels)
        saved = (in_full - less) * 9 * math.prod(fine.shape[1:3]) * self.features
        cpu = in_parts if doubled and saved > WORTH else at_once
        return by_platform("pyramid", *operands, cpu=cpu, gpu=at_once) + bias.astype(self.dtype)


def conv_doubled(x: Array, kernel: Array, align_corners: bool) -> Array:
    """Compute same_conv(resize_bilinear(x, twice its size), kernel) with a quarter of the multiplications.

    Args:
        x: (b, h, w, c).
        kernel: (3, 3, c, f).
        align_corners: as in `resize_bilinear`; twice a length n is then 2 n - 1, else 2 n.

    Returns:
        (b, 2 h, 2 w, f), or one less each.
    """
    flat = x.reshape(-1, x.shape[-1])

    def product(i: int, j: int) -> Array:
        return (flat @ kernel[i, j]).reshape(*x.shape[:-1], -1)

    columns = [_double([product(i, j) for i in range(3)], 1, align_corners) for j in range(3)]
    return _double(columns, 2, align_corners)


def _double(taps: Sequence[Array], axis: int, align_corners: bool) -> Array:
    """Upsample three maps twofold along an axis, shift them by 1, 0, -1 cells and sum."""
    (even0, odd0), (even1, odd1), (even2, odd2) = (_halves(x, axis, align_corners) for x in taps)
    even = _shift(odd0, 1, axis) + even1 + odd2
    odd = even0 + odd1 + _shift(even2, -1, axis)
    y = jnp.stack([even, odd], axis=axis + 1)
    y = y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
    return lax.slice_in_dim(y, 0, y.shape[axis] - align_corners, axis=axis)


def _halves(x: Array, axis: int, align_corners: bool) -> tuple[Array, Array]:
    """Return the even and odd cells of x upsampled twofold; with aligned corners the last odd one is 0."""
    place = lax.broadcasted_iota(jnp.int32, x.shape, axis)
    last = place == x.shape[axis] - 1
    after = _shift(x, -1, axis)
    if align_corners:
        return x, jnp.where(last, 0, 0.5 * (x + after))
    before, after = jnp.where(place == 0, x, _shift(x, 1, axis)), jnp.where(last, x, after)
    return 0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after


def _shift(x: Array, by: int, axis: int) -> Array:
    """Shift x by 1 or -1 cells along an axis, filling with zeros."""
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (by, -by, 0)
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _doubled(size: Sequence[int], align_corners: bool) -> tuple[int, ...]:
    return tuple(2 * n - align_corners for n in size)


def add_shared(x: Array, shared: Array) -> Array:
    """Add maps (s, h, w, c) to x (b, h, w, c), repeated b / s times."""
    return (x.reshape(-1, *shared.shape) + shared).reshape(x.shape)
