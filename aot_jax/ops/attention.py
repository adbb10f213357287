"""Softmax attention in forms that are fast on a device (paper, Eq. 1).

Heads come before tokens throughout, so that a head's scores are one contiguous matrix and the memory is never
transposed.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import lax

from aot_jax.ops.forms import by_platform, can_fuse
from aot_jax.typing import Array

SCORES = 2**20  # scores computed at once on the CPU, at most about this many, so that they stay in cache
MASKED = -1e30  # additive mask of a score; finite, so that a fully masked row gives no 0 / 0
HEADS = "b n ... -> (b n) ..."  # pattern that makes a head of each sample one entry
TOKENS = "b n t r d -> b n (t r) d"  # pattern that joins the tokens of several frames


def attend(q: Array, k: Array, v: Array, valid: Array | None = None) -> Array:
    """Compute softmax(q k^T / sqrt(d)) v for each head (paper, Eq. 1); softmax in float32.

    Args:
        q: (b, n, s, d) queries.
        k: (b, n, r, d) keys.
        v: (b, n, r, d) values.
        valid: (b, r) bool, keys that count; None: all. If none counts, the result is meaningless but finite.

    Returns:
        (b, n, s, d).
    """
    bias = None if valid is None else jnp.where(valid, 0.0, MASKED)[:, None, None]
    gpu = attend_fused if bias is None and can_fuse(attend_fused, q, k, v) else _attend
    return by_platform("attention", q, k, v, bias, cpu=_attend_blocks, gpu=gpu)


def _attend(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    scores = jnp.einsum("...qd,...kd->...qk", q * q.shape[-1] ** -0.5, k, preferred_element_type=jnp.float32)
    if bias is not None:
        scores = scores + bias
    # Divided after the product with v, where there are fewer numbers.
    weights = jnp.exp(scores - lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
    total = weights.sum(axis=-1, keepdims=True)
    return (jnp.einsum("...qk,...kd->...qd", weights.astype(v.dtype), v) / total).astype(v.dtype)


def attend_fused(
    q: Array, k: Array, v: Array, count: Array | None = None, implementation: Literal["cudnn", "xla"] = "cudnn"
) -> Array:
    """Compute `attend` without storing the scores; JAX supports this on CUDA, in 16 bits, for few shapes.

    Args:
        q: (b, n, s, d) queries.
        k: (b, n, r, d) keys.
        v: (b, n, r, i d) values, any i.
        count: (b,) int32, number of leading keys that count, at least 1; None: all.
        implementation: as in `jax.nn.dot_product_attention`.
    """
    heads, wide = q.shape[1], v.shape[-1] // q.shape[-1]
    if wide > 1:  # split values into parts as wide as keys, each a head
        v = rearrange(v, "b n r (i d) -> b (n i) r d", i=wide)
        q, k = (jnp.repeat(x, wide, axis=1) for x in (q, k))
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    y = jax.nn.dot_product_attention(q, k, v, key_value_seq_lengths=count, implementation=implementation)
    return rearrange(y, "b s (n i) d -> b n s (i d)", n=heads)


def _attend_blocks(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
    if q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] <= SCORES:
        return _attend(q, k, v, bias)
    batch, heads, count, _ = q.shape
    bias = None if bias is None else jnp.repeat(bias[:, 0], heads, axis=0)

    def attend_head(args: tuple) -> Array:
        blocks, k, v, bias = args
        return lax.map(lambda block: _attend(block, k, v, bias), blocks)

    args = _cut(rearrange(q, HEADS), k.shape[2]), rearrange(k, HEADS), rearrange(v, HEADS), bias
    return _join(lax.map(attend_head, args), batch, count)


def _cut(q: Array, keys: int) -> Array:
    """Cut each head's queries (n, s, d) into equal blocks (n, i, q, d) of about SCORES scores, zero-padded."""
    count = q.shape[1]
    blocks = -(-count * keys // SCORES)
    size = -(-count // blocks)
    q = jnp.pad(q, ((0, 0), (0, blocks * size - count), (0, 0)))
    return rearrange(q, "n (i q) d -> n i q d", i=blocks)


def _join(blocks: Array, batch: int, count: int) -> Array:
    """Undo `_cut` for `count` queries: (b n, i, q, d) to (b, n, s, d)."""
    return rearrange(blocks, "(b n) i q d -> b n (i q) d", b=batch)[:, :, :count]


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
        return _attend_all(q, k, v, None)
    gpu = attend_valid_first if can_fuse(attend_valid_first, q, k, v, valid) else _attend_all
    return by_platform("attention", q, k, v, valid, cpu=_attend_filled, gpu=gpu)


def _attend_all(q: Array, k: Array, v: Array, valid: Array | None) -> Array:
    q, k = (jnp.broadcast_to(x, (v.shape[0], *x.shape[1:])) for x in (q, k))
    tokens = None if valid is None else jnp.repeat(valid, k.shape[3], axis=1)
    return attend(q, rearrange(k, TOKENS), rearrange(v, TOKENS), tokens)


def attend_valid_first(
    q: Array, k: Array, v: Array, valid: Array, implementation: Literal["cudnn", "xla"] = "cudnn"
) -> Array:
    """Compute `attend_frames` by `attend_fused`, valid frames moved to the front: the order of keys does not matter."""
    order = jnp.argsort(~valid, axis=1, stable=True)
    q, k = (jnp.broadcast_to(x, (v.shape[0], *x.shape[1:])) for x in (q, k))
    k, v = (jnp.take_along_axis(x, order[:, None, :, None, None], axis=2) for x in (k, v))
    count = jnp.maximum(valid.sum(axis=1, dtype=jnp.int32), 1) * k.shape[3]
    return attend_fused(q, rearrange(k, TOKENS), rearrange(v, TOKENS), count, implementation)


@jax.custom_vjp
def _attend_filled(q: Array, k: Array, v: Array, valid: Array) -> Array:
    """Attend head by head and frame by frame, up to the last valid one, with an online softmax."""
    batch, heads, queries, depth = q.shape
    frames, tokens = v.shape[2:4]
    count = jnp.where(valid.any(axis=0), jnp.arange(1, frames + 1), 1).max()
    # s: samples that share queries and keys, hence weights; their values are stacked as channels.
    share = v.shape[0] // batch
    values = rearrange(v, "(b s) n t r d -> (b n) t r (s d)", s=share)
    bias = rearrange(jnp.where(valid, 0.0, MASKED), "(b s) t -> b t 1 s 1", s=share)

    def attend_head(args: tuple) -> Array:
        blocks, keys, values, bias = args

        def add_frame(t: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, value = keys[t], values[t]

            def add_to_block(args: tuple) -> tuple[Array, Array, Array]:
                q, top, total, out = args
                scores = jnp.einsum("qd,kd->qk", q, key, preferred_element_type=jnp.float32)
                highest = scores.max(axis=-1, keepdims=True)
                weights = jnp.exp(scores - highest)
                more = jnp.einsum("qk,kd->qd", weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
                highest_here = highest[..., None] + bias[t]
                higher = jnp.maximum(top, highest_here)
                older, newer = jnp.exp(top - higher), jnp.exp(highest_here - higher)
                total = total * older + weights.sum(axis=-1)[..., None, None] * newer
                return higher, total, out * older + rearrange(more, "q (s d) -> q s d", s=share) * newer

            return lax.map(add_to_block, (blocks, *carry))

        top = jnp.full((*blocks.shape[:-1], share, 1), MASKED, jnp.float32)
        start = (top, jnp.zeros_like(top), jnp.zeros((*top.shape[:-1], v.shape[-1]), jnp.float32))
        _, total, out = lax.fori_loop(0, count, add_frame, start)
        return rearrange(out / total, "i q s d -> i q (s d)")

    blocks = _cut(rearrange(q * depth**-0.5, HEADS), tokens)
    out = lax.map(attend_head, (blocks, rearrange(k, HEADS), values, jnp.repeat(bias, heads, axis=0)))
    out = _join(out, batch, queries)
    return rearrange(out, "b n q (s d) -> (b s) n q d", s=share).astype(v.dtype)


def _attend_filled_forward(q: Array, k: Array, v: Array, valid: Array) -> tuple[Array, Callable]:
    """Use all frames at once: a loop of unknown length has no gradient."""
    return jax.vjp(lambda q, k, v: _attend_all(q, k, v, valid), q, k, v)


_attend_filled.defvjp(_attend_filled_forward, lambda pull, gradient: (*pull(gradient), None))
