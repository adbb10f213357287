"""Short-term attention: each cell attends to a window around it in the previous frames (paper, section 4.2).

Two forms with equal results: `patches` is the literal one over `jax.lax.conv_general_dilated_patches` and the tested
reference; `tiles` lets 8 x 8 queries share the keys around them.

    score(q at p, offset o) = q . k(p + o) / sqrt(d) + relative(q)[o]
    out(p)                  = sum_o softmax(score)[o] (v(p + o) + relative_v[o])
"""

import functools

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax.typing import Dtype
from jax import lax

from aot_jax.models.attention import MASKED, merge_heads
from aot_jax.models.layers import Linear, bias_uniform, fans_uniform
from aot_jax.typing import Array

TILE = 8  # queries a side of a tile


def attend_patches(
    q: Array, k: Array, v: Array, relative: Array | None, relative_v: Array | None, valid: Array, window: int
) -> Array:
    """Attend within windows, each unfolded in memory. Arguments and result are those of `attend_tiles`."""
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
    """Attend within windows; the queries of a tile share one block of keys and mask what lies outside their window.

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
        """Lay scores by offset, (..., TILE, TILE, o), over the keys: (..., TILE * TILE, side * side)."""
        x = rearrange(x, "... i j (u v) -> ... i u j v", u=window)
        x = rearrange(shear(x, MASKED), "... i u j s -> ... j s i u")
        return rearrange(shear(x, MASKED), "... j s i r -> ... (i j) (r s)")

    def gather(x: Array) -> Array:
        """Undo `spread`."""
        x = rearrange(x, "... (i j) (r s) -> ... j s i r", i=TILE, r=side)
        x = rearrange(unshear(x), "... j s i u -> ... i u j s")
        return rearrange(unshear(x), "... i u j v -> ... i j (u v)")

    # Keys count where they lie inside the frame and their frame is valid; the window is in `spread`'s fill.
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
    out = lax.map(row, args)
    out = rearrange(out, "y b n x (i j) d -> b n (y i) (x j) d", i=TILE)
    return out[:, :, :height, :width]


FORMS = {"tiles": attend_tiles, "patches": attend_patches}


def near_first(window: int, locality: float) -> nn.initializers.Initializer:
    """Return an initialiser of (heads, window^2): -`locality` times the squared distance from the window's centre."""
    steps = jnp.arange(window) - window // 2
    fall = -locality * (steps[:, None] ** 2 + steps**2).reshape(-1)
    return lambda key, shape, dtype=jnp.float32: jnp.broadcast_to(fall, shape).astype(dtype)


class ShortTermAttention(nn.Module):
    """Attend to a window of the short-term memory, with relative positions: no input projections, one output's."""

    window: int
    relative_position: bool
    form: str
    locality: float | None = None  # fall of the initial bias with squared distance in cells; None: no fall
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, q: Array, keys: Array, values: Array, valid: Array) -> Array:
        """Propagate values to the current frame.

        Args:
            q: (b, n, h, w, d) queries, or (1, n, h, w, d) for the whole batch.
            keys: (b, n, t, h, w, d) of the frames before, the latest first; or (1, n, t, h, w, d).
            values: (b, n, t, h, w, d).
            valid: (b, t) bool, slots that hold a frame.

        Returns:
            (b, h, w, c).
        """
        heads, depth, offsets = q.shape[1], q.shape[-1], self.window**2
        relative = relative_v = None
        if self.relative_position:
            # Fans of the release's tensors: a grouped 1x1 convolution, and (heads, depth, offsets).
            kernel = self.param("relative_k", fans_uniform(depth, heads * offsets), (heads, offsets, depth))
            bias_init = bias_uniform(depth) if self.locality is None else near_first(self.window, self.locality)
            bias = self.param("relative_k_bias", bias_init, (heads, offsets))
            relative_v = self.param("relative_v", fans_uniform(depth * offsets, heads * offsets), kernel.shape)
            kernel, relative_v = kernel.astype(self.dtype), relative_v.astype(self.dtype)
            # On the unscaled query, as in the release.
            relative = jnp.einsum("bnhwd,nod->bnhwo", q, kernel) + bias.astype(self.dtype)[:, None, None]
        attend = functools.partial(FORMS[self.form], window=self.window)
        batch, shared = values.shape[0], q.shape[0] == keys.shape[0] == 1
        if shared and batch > 1 and keys.shape[2] == 1:
            # All of the batch weigh the one frame before alike: their values lie side by side, as more channels.
            side_by_side = rearrange(values, "b n t h w d -> 1 n t h w (b d)")
            wide_v = None if relative_v is None else jnp.tile(relative_v, (1, 1, batch))
            y = attend(q, keys, side_by_side, relative, wide_v, valid.any(axis=0, keepdims=True))
            y = rearrange(y, "1 n h w (b d) -> b n h w d", b=batch)
        else:
            q, keys = (jnp.broadcast_to(x, (batch, *x.shape[1:])) for x in (q, keys))
            y = attend(q, keys, values, relative, relative_v, valid)
        y = merge_heads(y)
        return Linear(y.shape[-1], dtype=self.dtype, name="projection")(y)
