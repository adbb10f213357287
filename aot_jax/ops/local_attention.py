"""Attention to a window around each cell, in two forms with equal results (paper, section 4.2).

`patches` follows the formula with `jax.lax.conv_general_dilated_patches` and is the reference in tests; in `tiles`
8 x 8 queries share the keys around them.

    score(q at p, offset o) = q . k(p + o) / sqrt(d) + relative(q)[o]
    out(p)                  = sum_o softmax(score)[o] (v(p + o) + relative_v[o])
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from jax import lax

from aot_jax.ops.attention import MASKED
from aot_jax.ops.forms import by_platform
from aot_jax.typing import Array

TILE = 8  # side of a tile, in queries


def attend_patches(
    q: Array, k: Array, v: Array, relative: Array | None, relative_v: Array | None, valid: Array, window: int
) -> Array:
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
        scores = scores + relative[..., None, :]
    scores = jnp.where(inside & valid[:, None, None, None, :, None], scores, MASKED)
    weights = jax.nn.softmax(rearrange(scores, "b n h w t o -> b n h w (t o)"), axis=-1).astype(v.dtype)
    weights = rearrange(weights, "b n h w (t o) -> b n h w t o", t=frames)
    out = jnp.einsum("bnhwto,bnhwtod->bnhwd", weights, unfold(v))
    if relative_v is not None:
        out = out + jnp.einsum("bnhwto,nod->bnhwd", weights, relative_v)
    return out


def attend_tiles(
    q: Array, k: Array, v: Array, relative: Array | None, relative_v: Array | None, valid: Array, window: int
) -> Array:
    """Attend within windows; the queries of a tile share one block of keys and mask those outside their window.

    Args:
        q: (b, n, h, w, d) queries.
        k: (b, n, t, h, w, d) keys of the short-term frames.
        v: (b, n, t, h, w, d) values.
        relative: (b or 1, n, h, w, o) score of each offset, or None.
        relative_v: (n, o, d) value of each offset, or None.
        valid: (b, t) bool, frames that count.
        window: side of the window in cells, odd; o = window ** 2, row by row from (-window // 2, -window // 2).

    Returns:
        (b, n, h, w, d).
    """
    _, _, frames, height, width, depth = k.shape
    radius = window // 2
    side = TILE + 2 * radius
    rows, columns = -(-height // TILE), -(-width // TILE)
    bottom, right = rows * TILE - height, columns * TILE - width

    def tile(x: Array, fill: float = 0.0) -> Array:
        """Cut (b, n, h, w, ...) into (y, b, n, x, TILE, TILE, ...)."""
        pads = [(0, 0), (0, 0), (0, bottom), (0, right)] + [(0, 0)] * (x.ndim - 4)
        x = jnp.pad(x, pads, constant_values=fill)
        return rearrange(x, "b n (y i) (x j) ... -> y b n x i j ...", i=TILE, j=TILE)

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
        """Cut (b, n, t, h, w, c) into (y, b, n, x, t * side * side, c)."""
        x = surround(surround(x, 4, columns), 3, rows)
        return rearrange(x, "b n t y i x j c -> y b n x (t i j) c")

    def shear(x: Array, fill: float) -> Array:
        """Move row i of the last two axes, (TILE, window), right by i: (..., TILE, side)."""
        x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, side + 1 - window)], constant_values=fill)
        flat = x.reshape(*x.shape[:-2], TILE * (side + 1))
        return flat[..., : TILE * side].reshape(*x.shape[:-2], TILE, side)

    def unshear(x: Array) -> Array:
        """Undo `shear`: (..., TILE, side) to (..., TILE, window)."""
        flat = x.reshape(*x.shape[:-2], TILE * side)
        flat = jnp.pad(flat, [(0, 0)] * (flat.ndim - 1) + [(0, TILE)])
        return flat.reshape(*x.shape[:-2], TILE, side + 1)[..., :window]

    def spread(x: Array) -> Array:
        """Scatter scores by offset, (..., TILE, TILE, o), to the keys: (..., TILE * TILE, side * side)."""
        x = rearrange(x, "... i j (u v) -> ... i u j v", u=window)
        x = rearrange(shear(x, MASKED), "... i u j s -> ... j s i u")
        return rearrange(shear(x, MASKED), "... j s i r -> ... (i j) (r s)")

    def gather(x: Array) -> Array:
        """Undo `spread`."""
        x = rearrange(x, "... (i j) (r s) -> ... j s i r", i=TILE, r=side)
        x = rearrange(unshear(x), "... j s i u -> ... i u j s")
        return rearrange(unshear(x), "... i u j v -> ... i j (u v)")

    # Keys count if inside a valid frame; `spread` masks those outside the window.
    inside = jnp.broadcast_to(valid[:, None, :, None, None, None], (*valid.shape[:1], 1, frames, height, width, 1))
    inside = neighbourhood(inside.astype(jnp.float32))[..., 0]
    bias = jnp.where(inside > 0.5, 0.0, MASKED)  # (y, b, 1, x, keys)

    def row(args: tuple) -> Array:
        q, k, v, bias, relative = args
        scores = jnp.einsum("bnxqd,bnxkd->bnxqk", q, k, preferred_element_type=jnp.float32)
        scores = scores + bias[..., None, :]
        scores = rearrange(scores, "b n x q (t k) -> b n x q t k", t=frames) + spread(relative)[..., None, :]
        flat = rearrange(scores, "b n x q t k -> b n x q (t k)")
        weights = jax.nn.softmax(flat, axis=-1).astype(v.dtype)
        out = jnp.einsum("bnxqk,bnxkd->bnxqd", weights, v)
        if relative_v is not None:
            shared = rearrange(weights, "b n x q (t k) -> b n x q t k", t=frames).sum(axis=-2)
            by_offset = rearrange(gather(shared), "b n x i j o -> b n x (i j) o")
            out = out + jnp.einsum("bnxqo,nod->bnxqd", by_offset, relative_v)
        return out

    q_tiles = rearrange(tile(q * depth**-0.5), "y b n x i j d -> y b n x (i j) d")
    if relative is None:
        relative_tiles = jnp.zeros((rows, 1, 1, 1, TILE, TILE, window**2))
    else:
        relative_tiles = tile(relative.astype(jnp.float32))
    args = (q_tiles, neighbourhood(k), neighbourhood(v), bias, relative_tiles)
    out = by_platform("windows", args, cpu=lambda args: lax.map(row, args), gpu=jax.vmap(row))
    out = rearrange(out, "y b n x (i j) d -> b n (y i) (x j) d", i=TILE)
    return out[:, :, :height, :width]


FORMS = {"tiles": attend_tiles, "patches": attend_patches}
