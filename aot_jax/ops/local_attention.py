"""Attention to a window around each cell, in two forms with equal results (paper, section 4.2).

`patches` follows the formula with `jax.lax.conv_general_dilated_patches` and is the reference in tests; in `tiles`
8 x 8 queries share the keys around them.

    score(q at p, offset o) = q . k(p + o) / sqrt(d) + q . relative_k[o] + bias[o]
    out(p)                  = sum_o softmax(score)[o] (v(p + o) + relative_v[o])
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, repeat
from jax import lax

from aot_jax.ops.attention import MASKED, SCORES
from aot_jax.ops.forms import by_platform
from aot_jax.typing import Array

TILE = 8  # side of a tile, in queries


class Relative(NamedTuple):
    """What relative positions add; o = window ** 2 offsets, row by row from (-window // 2, -window // 2)."""

    key: Array  # (n, o, d), to scores: its product with the query, which is not scaled
    bias: Array  # (n, o), to scores
    value: Array | None  # (n, o, e), to values; None: nothing


def attend_patches(q: Array, k: Array, v: Array, relative: Relative | None, valid: Array, window: int) -> Array:
    """Attend within windows, copying out each cell's keys and values. Arguments and result as in `attend_tiles`."""
    frames, height, width = k.shape[2:5]
    offsets = window**2

    def unfold(x: Array) -> Array:
        flat = rearrange(x, "b n t h w d -> (b t) h w (n d)")
        patches = lax.conv_general_dilated_patches(
            flat,
            (window, window),
            (1, 1),
            [(window // 2, window // 2)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=lax.Precision.HIGHEST,
        )
        return rearrange(patches, "(b t) h w (n d o) -> b n h w t o d", t=frames, n=x.shape[1], o=offsets)

    inside = unfold(jnp.ones((1, 1, frames, height, width, 1)))[..., 0] > 0.5
    scores = jnp.einsum("bnhwd,bnhwtod->bnhwto", q * q.shape[-1] ** -0.5, unfold(k)).astype(jnp.float32)
    if relative is not None:
        of_offsets = jnp.einsum("bnhwd,nod->bnhwo", q, relative.key) + relative.bias[:, None, None]
        scores = scores + of_offsets[..., None, :]
    scores = jnp.where(inside & valid[:, None, None, None, :, None], scores, MASKED)
    weights = jax.nn.softmax(rearrange(scores, "b n h w t o -> b n h w (t o)"), axis=-1).astype(v.dtype)
    weights = rearrange(weights, "b n h w (t o) -> b n h w t o", t=frames)
    out = jnp.einsum("bnhwto,bnhwtod->bnhwd", weights, unfold(v))
    if relative is not None and relative.value is not None:
        out = out + jnp.einsum("bnhwto,nod->bnhwd", weights, relative.value)
    return out


def attend_tiles(q: Array, k: Array, v: Array, relative: Relative | None, valid: Array, window: int) -> Array:
    """Attend within windows; the queries of a tile share one block of keys and mask those outside their window.

    The keys around a tile are numbered row by row. The offset (u, w) of the query in row i and column j then leads to
    key (i + u) * side + j + w: to number u * side + w, moved on by i * side + j.

    Args:
        q: (b, n, h, w, d) queries.
        k: (b, n, t, h, w, d) keys of the short-term frames.
        v: (b, n, t, h, w, e) values.
        relative: what relative positions add, or None.
        valid: (b, t) bool, frames that count.
        window: side of the window in cells, odd.

    Returns:
        (b, n, h, w, e).
    """
    batch, heads, frames, height, width, depth = k.shape
    radius = window // 2
    side = TILE + 2 * radius
    keys = side**2
    rows, columns = -(-height // TILE), -(-width // TILE)
    bottom, right = rows * TILE - height, columns * TILE - width
    # A strip is one or more rows of one head's tiles: on the CPU, what is computed at once.
    fit = max(1, SCORES // (columns * TILE**2 * frames * keys))
    high = max(n for n in range(1, rows + 1) if rows % n == 0 and n <= fit)

    def surround(x: Array, axis: int, count: int) -> Array:
        """Replace an axis by (count, side): the cells of each tile and `radius` more on both sides."""
        reach = -(-radius // TILE)
        pads = [(0, 0)] * x.ndim
        pads[axis] = (reach * TILE, (count + reach) * TILE - x.shape[axis])
        x = jnp.pad(x, pads)
        x = x.reshape(*x.shape[:axis], count + 2 * reach, TILE, *x.shape[axis + 1 :])
        near = [lax.slice_in_dim(x, i, i + count, axis=axis) for i in range(2 * reach + 1)]
        around = jnp.concatenate(near, axis=axis + 1)
        start = reach * TILE - radius
        return lax.slice_in_dim(around, start, start + side, axis=axis + 1)

    def neighbourhood(x: Array) -> Array:
        """Cut (b, n, t, h, w, c) into (strips, tiles, t * keys, c)."""
        x = surround(surround(x, 4, columns), 3, rows)
        return rearrange(x, "b n t (r y) i x j c -> (b n r) (y x) (t i j) c", y=high)

    def number(x: Array, fill: float = 0.0) -> Array:
        """Place offsets (n, o, c) at their numbers, the rest filled: (n, keys + side, c)."""
        x = rearrange(x, "n (u w) c -> n u w c", u=window)
        x = jnp.pad(x, [(0, 0), (0, side - window + 1), (0, side - window), (0, 0)], constant_values=fill)
        return rearrange(x, "n u w c -> n (u w) c")

    def spread(x: Array) -> Array:
        """Move numbers on to the keys: (..., (j i), keys + side) to (..., (j i), keys)."""
        # Rows that are read `side` shorter than they are start `side` later with each; blocks, one later.
        flat = x.reshape(*x.shape[:-2], TILE, TILE * (keys + side))[..., : TILE * keys + 1]
        flat = flat.reshape(*x.shape[:-2], TILE * (TILE * keys + 1))[..., : TILE**2 * keys]
        return flat.reshape(*x.shape[:-1], keys)

    def gather(x: Array) -> Array:
        """Undo `spread`."""
        none = [(0, 0)] * (x.ndim - 2)
        flat = jnp.pad(x.reshape(*x.shape[:-2], TILE**2 * keys), [*none, (0, TILE)])
        flat = flat.reshape(*x.shape[:-2], TILE, TILE * keys + 1)
        return jnp.pad(flat, [*none, (0, 0), (0, TILE * side - 1)]).reshape(*x.shape[:-1], keys + side)

    def multiply(x: Array, matrix: Array) -> Array:
        """Multiply the channels of (x, q, c) by a matrix (c, o), as one product: einsum would transpose the result."""
        return (rearrange(x, "x q c -> (x q) c") @ matrix).reshape(*x.shape[:-1], -1)

    def each(x: Array) -> Array:
        """Repeat what a head has, (n, ...), for all of its strips: (strips, ...)."""
        return repeat(x, "n ... -> (b n r) ...", b=batch, r=rows // high)

    # Keys count if inside a valid frame; `spread` masks those outside the window.
    inside = jnp.broadcast_to(valid[:, None, :, None, None, None], (batch, 1, frames, height, width, 1))
    inside = neighbourhood(inside.astype(jnp.float32))[..., 0]
    outside = jnp.where(inside > 0.5, 0.0, MASKED)  # (b * r, tiles, keys)
    outside = repeat(outside, "(b r) x k -> (b n r) x k", b=batch, n=heads)
    if relative is None:
        relative = Relative(jnp.zeros((heads, window**2, depth), q.dtype), jnp.zeros((heads, window**2)), None)
    bias = number(relative.bias[..., None].astype(q.dtype), MASKED)
    key = each(jnp.concatenate([number(relative.key), bias], axis=-1))
    value = None if relative.value is None else each(number(relative.value))

    def strip(args: tuple) -> Array:
        q, k, v, outside, key, value = args
        with_one = jnp.concatenate([q, jnp.ones_like(q[..., :1])], axis=-1)
        near = spread(multiply(with_one, key.T))
        scaled = q * depth**-0.5
        scores = jnp.einsum("xqd,xkd->xqk", scaled, k, preferred_element_type=jnp.float32) + outside[..., None, :]
        scores = rearrange(scores, "x q (t k) -> x q t k", t=frames) + near[..., None, :]
        # Divided after the products, where there are fewer numbers.
        weights = jnp.exp(scores - lax.stop_gradient(scores.max(axis=(-2, -1), keepdims=True)))
        total = weights.sum(axis=(-2, -1))[..., None]
        weights = weights.astype(v.dtype)
        out = jnp.einsum("xqk,xkd->xqd", rearrange(weights, "x q t k -> x q (t k)"), v)
        if value is not None:
            out = out + multiply(gather(weights.sum(axis=-2)), value)
        return (out / total).astype(v.dtype)

    tiles = jnp.pad(q, [(0, 0), (0, 0), (0, bottom), (0, right), (0, 0)])
    tiles = rearrange(tiles, "b n (r y i) (x j) d -> (b n r) (y x) (j i) d", y=high, i=TILE, j=TILE)
    args = (tiles, neighbourhood(k), neighbourhood(v), outside, key, value)
    out = by_platform("windows", args, cpu=lambda args: lax.map(strip, args), gpu=jax.vmap(strip))
    out = rearrange(out, "(b n r) (y x) (j i) d -> b n (r y i) (x j) d", b=batch, n=heads, y=high, i=TILE, j=TILE)
    return out[:, :, :height, :width]


FORMS = {"tiles": attend_tiles, "patches": attend_patches}
