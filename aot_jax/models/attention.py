"""Multi-head attention over tokens: the LSTT's self-attention and its long-term attention (paper, Eq. 1)."""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import Linear
from aot_jax.ops.attention import attend, attend_frames
from aot_jax.typing import Array


def split_heads(x: Array, heads: int) -> Array:
    """Split channels into heads: (b, h, w, n d) to (b, n, h, w, d)."""
    return rearrange(x, "b h w (n d) -> b n h w d", n=heads)


def merge_heads(x: Array) -> Array:
    """Join heads into channels: (b, n, h, w, d) to (b, h, w, n d)."""
    return rearrange(x, "b n h w d -> b h w (n d)")


class SelfAttention(nn.Module):
    """Attend within a frame; the position embedding is added to queries and keys only (paper, section 4.2)."""

    heads: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, position: Array | None) -> Array:
        """Map (b, h, w, c) to the same; `position` (h, w, c) or None."""
        _, height, _, channels = x.shape
        placed = x if position is None else x + position.astype(x.dtype)

        def project(name: str, y: Array) -> Array:
            y = Linear(channels, dtype=self.dtype, name=name)(y)
            return rearrange(y, "b h w (n d) -> b n (h w) d", n=self.heads)

        y = attend(project("query", placed), project("key", placed), project("value", x))
        y = rearrange(y, "b n (h w) d -> b h w (n d)", h=height)
        return Linear(channels, dtype=self.dtype, name="projection")(y)


class LongTermAttention(nn.Module):
    """Attend to every memory frame (paper, section 4.2): no input projections, one output projection."""

    project: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, q: Array, keys: Array, values: Array, valid: Array | None) -> Array:
        """Propagate values to the current frame.

        Args:
            q: (b, n, h, w, d) queries, or (1, n, h, w, d) for the whole batch.
            keys: (b, n, k, h, w, d) keys of the memory frames, or (1, n, k, h, w, d).
            values: (b, n, k, h, w, d) values of these frames.
            valid: (b, k) bool, slots that hold a frame; None: all.

        Returns:
            (b, h, w, c), c = n d of the values.
        """
        flat = "b n k h w d -> b n k (h w) d"
        y = attend_frames(
            rearrange(q, "b n h w d -> b n (h w) d"), rearrange(keys, flat), rearrange(values, flat), valid
        )
        y = rearrange(y, "b n (h w) d -> b h w (n d)", h=q.shape[2])
        return Linear(y.shape[-1], dtype=self.dtype, name="projection")(y) if self.project else y
