"""Softmax attention in the form that a device runs fast (paper, Eq. 1).

Heads come before tokens throughout, so that a head's scores are one contiguous matrix and the memory is never
transposed.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import lax

from aot_jax.typing import Array

QUERY_BLOCK = 128  # queries a block on the CPU: a block's scores then stay in cache
MASKED = -1e30  # added to scores that must not count; finite, so that no token meets 0 / 0


def attend(q: Array, k: Array, v: Array, valid: Array | None = None) -> Array:
    """Compute softmax(q k^T / sqrt(d)) v for each head (paper, Eq. 1); softmax in float32.

    Args:
        q: (b, n, s, d) queries.
        k: (b, n, r, d) keys.
        v: (b, n, r, d) values.
        valid: (b, r) bool, keys that count; None: all. Without any, the result means nothing, but is finite.

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
    return _join(lax.map(lambda block: _attend(block, k, v, bias), _cut(q)), count)


def _cut(q: Array) -> Array:
    """Cut queries (b, n, s, d) into blocks (i, b, n, q, d) of QUERY_BLOCK at most, the last filled up with zeros."""
    size = min(QUERY_BLOCK, q.shape[2])
    blocks = -(-q.shape[2] // size)
    q = jnp.pad(q, ((0, 0), (0, 0), (0, blocks * size - q.shape[2]), (0, 0)))
    return rearrange(q, "b n (i q) d -> i b n q d", i=blocks)


def _join(blocks: Array, count: int) -> Array:
    """Undo `_cut` for `count` queries."""
    return rearrange(blocks, "i b n q d -> b n (i q) d")[:, :, :count]


def attend_frames(q: Array, k: Array, v: Array, valid: Array | None) -> Array:
    """Attend to all tokens of several frames; on the CPU, slots after the last valid one cost nothing.

    Args:
        q: (b, n, s, d) queries; (1, n, s, d) where all of the batch share them.
        k: (b, n, t, r, d) keys of t frames, or (1, n, t, r, d). Where queries and keys are both shared, scores are
            computed once.
        v: (b, n, t, r, d) values.
        valid: (b, t) bool, frames that count; None: all.

    Returns:
        (b, n, s, d), as of `attend`.
    """
    if k.shape[0] > 1:
        q = jnp.broadcast_to(q, (k.shape[0], *q.shape[1:]))
    if valid is None:
        return _attend_all(q, k, v, jnp.ones((v.shape[0], k.shape[2]), bool))
    return lax.platform_dependent(q, k, v, valid, cpu=_attend_filled, default=_attend_all)


def _attend_all(q: Array, k: Array, v: Array, valid: Array) -> Array:
    flat = "b n t r d -> b n (t r) d"
    q, k = (jnp.broadcast_to(x, (v.shape[0], *x.shape[1:])) for x in (q, k))
    return attend(q, rearrange(k, flat), rearrange(v, flat), jnp.repeat(valid, k.shape[3], axis=1))


@jax.custom_vjp
def _attend_filled(q: Array, k: Array, v: Array, valid: Array) -> Array:
    """Take frames one after the other, with a softmax that is corrected when a larger score comes."""
    frames, depth = v.shape[2], v.shape[-1]
    count = jnp.where(valid.any(axis=0), jnp.arange(1, frames + 1), 1).max()
    blocks = _cut(q * q.shape[-1] ** -0.5)
    # s: samples that share queries and keys, and so their weights; their values lie side by side.
    share = v.shape[0] // q.shape[0]
    values = rearrange(v, "(b s) n t r d -> b n t r (s d)", s=share)
    bias = rearrange(jnp.where(valid, 0.0, MASKED), "(b s) t -> t b 1 1 s 1", s=share)
    top = jnp.full((*blocks.shape[:-1], share, 1), MASKED, jnp.float32)

    def add_frame(t: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, value = (lax.dynamic_index_in_dim(x, t, 2, False) for x in (k, values))

        def add_to_block(args: tuple) -> tuple[Array, Array, Array]:
            q, top, total, out = args
            scores = jnp.einsum("bnqd,bnkd->bnqk", q, key, preferred_element_type=jnp.float32)
            highest = scores.max(axis=-1, keepdims=True)
            weights = jnp.exp(scores - highest)
            more = jnp.einsum("bnqk,bnkd->bnqd", weights.astype(v.dtype), value, preferred_element_type=jnp.float32)
            highest_here = highest[..., None] + bias[t]
            higher = jnp.maximum(top, highest_here)
            older, newer = jnp.exp(top - higher), jnp.exp(highest_here - higher)
            total = total * older + weights.sum(axis=-1)[..., None, None] * newer
            return higher, total, out * older + rearrange(more, "b n q (s d) -> b n q s d", s=share) * newer

        return lax.map(add_to_block, (blocks, *carry))

    start = (top, jnp.zeros_like(top), jnp.zeros((*top.shape[:-1], depth), jnp.float32))
    _, total, out = lax.fori_loop(0, count, add_frame, start)
    out = rearrange(out / total, "i b n q s d -> (b s) n (i q) d")
    return out[:, :, : q.shape[2]].astype(v.dtype)


def _attend_filled_forward(q: Array, k: Array, v: Array, valid: Array) -> tuple[Array, Callable]:
    """A loop of unknown length has no gradient; all frames at once have."""
    return jax.vjp(lambda q, k, v: _attend_all(q, k, v, valid), q, k, v)


_attend_filled.defvjp(_attend_filled_forward, lambda pull, gradient: (*pull(gradient), None))
