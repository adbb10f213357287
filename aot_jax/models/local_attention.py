"""Short-term attention: each cell attends to a window around it in the previous frames (paper, section 4.2)."""

import functools
from typing import Any

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.attention import merge_heads
from aot_jax.models.layers import Linear, bias_uniform, fans_uniform, parameter
from aot_jax.ops.local_attention import FORMS, Relative
from aot_jax.typing import Array


def near_first(window: int, locality: float) -> nn.initializers.Initializer:
    """Return an initialiser of (heads, window^2): -`locality` times the squared distance from the window's centre."""
    steps = jnp.arange(window) - window // 2
    fall = -locality * (steps[:, None] ** 2 + steps**2).reshape(-1)
    return lambda key, shape, dtype=jnp.float32: jnp.broadcast_to(fall, shape).astype(dtype)


class ShortTermAttention(nn.Module):
    """Attend to a window of the short-term memory, with relative positions; only the output is projected."""

    window: int
    relative_position: bool
    form: str
    locality: float | None = None  # decrease of the initial bias per squared cell of distance; None: random
    relative_values: bool = True  # relative positions add to the values, not only to the scores
    project: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, q: Array, keys: Array, values: Array, valid: Array) -> Array:
        """Propagate values to the current frame.

        Args:
            q: (b, n, h, w, d) queries, or (1, n, h, w, d) for the whole batch.
            keys: (b, n, t, h, w, d) keys of the frames before, the latest first; or (1, n, t, h, w, d).
            values: (b, n, t, h, w, d) values of these frames.
            valid: (b, t) bool, slots that hold a frame.

        Returns:
            (b, h, w, c), c = n d of the values.
        """
        heads, depth, wide, offsets = q.shape[1], q.shape[-1], values.shape[-1], self.window**2
        relative = None
        if self.relative_position:
            # Fans as in the release, which has a grouped 1x1 convolution and a tensor (heads, depth, offsets).
            key = parameter(self, "relative_k", fans_uniform(depth, heads * offsets), (heads, offsets, depth))
            bias_init = bias_uniform(depth) if self.locality is None else near_first(self.window, self.locality)
            bias = parameter(self, "relative_k_bias", bias_init, (heads, offsets))
            value = None
            if self.relative_values:
                init = fans_uniform(wide * offsets, heads * offsets)
                value = parameter(self, "relative_v", init, (heads, offsets, wide)).astype(self.dtype)
            relative = Relative(key.astype(self.dtype), bias.astype(self.dtype), value)
        attend = functools.partial(FORMS[self.form], window=self.window)
        batch, shared = values.shape[0], q.shape[0] == keys.shape[0] == 1
        if shared and batch > 1 and keys.shape[2] == 1:
            # All samples have the same attention weights: their values are stacked as channels.
            side_by_side = rearrange(values, "b n t h w d -> 1 n t h w (b d)")
            if relative is not None and relative.value is not None:
                relative = relative._replace(value=jnp.tile(relative.value, (1, 1, batch)))
            y = attend(q, keys, side_by_side, relative, valid.any(axis=0, keepdims=True))
            y = rearrange(y, "1 n h w (b d) -> b n h w d", b=batch)
        else:
            q, keys = (jnp.broadcast_to(x, (batch, *x.shape[1:])) for x in (q, keys))
            y = attend(q, keys, values, relative, valid)
        y = merge_heads(y)
        return Linear(y.shape[-1], dtype=self.dtype, name="projection")(y) if self.project else y


def short_term_attention(config: Any, **options: Any) -> ShortTermAttention:
    """Make the short-term attention of a `config.model`."""
    return ShortTermAttention(
        config.window, config.relative_position, config.local_attention, config.locality, **options
    )
