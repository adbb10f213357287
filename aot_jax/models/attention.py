"""Multi-head attention over tokens: the LSTT's self-attention and its long-term attention (paper, Eq. 1).

Called by `lstt.py`. Heads come before tokens throughout, so that a head's scores are one contiguous matrix and the
memory is never transposed.
"""

import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from jax import lax

from aot_jax.models.layers import Linear
from aot_jax.typing import Array

QUERY_BLOCK = 128  # queries a block on the CPU: a block's scores then stay in cache
MASKED = -1e30  # added to scores that must not count; finite, so that no token meets 0 / 0


def split_heads(x: Array, heads: int) -> Array:
    """Split channels into heads: (b, h, w, n d) to (b, n, h, w, d)."""
    return rearrange(x, "b h w (n d) -> b n h w d", n=heads)


def merge_heads(x: Array) -> Array:
    """Join heads into channels: (b, n, h, w, d) to (b, h, w, n d)."""
    return rearrange(x, "b n h w d -> b h w (n d)")


def attend(q: Array, k: Array, v: Array, valid: Array | None = None) -> Array:
    """Compute softmax(q k^T / sqrt(d)) v for each head (paper, Eq. 1); softmax in float32.

    Args:
        q: (b, n, s, d) queries.
        k: (b, n, r, d) keys.
        v: (b, n, r, d) values.
        valid: (b, r) bool, keys that count; None: all. A sample without any valid key gets the mean of the values.

    Returns:
        (b, n, s, d).
    """
    bias = None if valid is None else jnp.where(valid, 0.0, MASKED)[:, None, None]
    return lax.platform_dependent(q, k, v, bias, cpu=_attend_blocks, default=_attend)


def _attend(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    scores = jnp.einsum("bnqd,bnkd->bnqk", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    if bias is not None:
        scores = scores + bias
    # The division comes after the product with v, where there are fewer numbers to divide.
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    return (jnp.einsum("bnqk,bnkd->bnqd", weights.astype(v.dtype), v) / total).astype(v.dtype)


def _attend_blocks(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    count = q.shape[2]
    if count <= QUERY_BLOCK:
        return _attend(q, k, v, bias)
    blocks = -(-count // QUERY_BLOCK)
    q = jnp.pad(q, ((0, 0), (0, 0), (0, blocks * QUERY_BLOCK - count), (0, 0)))
    q = rearrange(q, "b n (i q) d -> i b n q d", i=blocks)
    out = lax.map(lambda block: _attend(block, k, v, bias), q)
    return rearrange(out, "i b n q d -> b n (i q) d")[:, :, :count]


class SelfAttention(nn.Module):
    """Attend within a frame; the position embedding joins queries and keys only (paper, section 4.2)."""

    heads: int
    dtype: jnp.dtype = jnp.float32

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

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, q: Array, keys: Array, values: Array, valid: Array | None) -> Array:
        """Propagate values to the current frame.

        Args:
            q: (b, n, h, w, d) queries.
            keys: (b, n, k, h, w, d) of the memory frames.
            values: (b, n, k, h, w, d).
            valid: (b, k) bool, slots that hold a frame; None: all.

        Returns:
            (b, h, w, c).
        """
        _, _, height, width, _ = q.shape
        valid = None if valid is None else jnp.repeat(valid, height * width, axis=1)
        flat = "b n k h w d -> b n (k h w) d"
        y = attend(rearrange(q, "b n h w d -> b n (h w) d"), rearrange(keys, flat), rearrange(values, flat), valid)
        y = rearrange(y, "b n (h w) d -> b h w (n d)", h=height)
        return Linear(y.shape[-1], dtype=self.dtype, name="projection")(y)
