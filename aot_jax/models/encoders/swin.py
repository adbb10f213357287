"""Swin-B (Liu et al., 2021) without its last stage."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import Conv, LayerNorm, Linear, draw_kept, drop_path, gelu, parameter
from aot_jax.typing import Array

STAGES = ((2, 4), (2, 8), (18, 16))  # blocks, heads
ALL_BLOCKS = 24  # number of blocks with the removed stage's two; the drop-path rate grows over them
EMBED = 128  # channels of the patch embedding
WINDOW = 7  # side of a window, in cells
SHIFT = 3  # shift of odd blocks, in cells


@functools.lru_cache(maxsize=1)
def relative_index() -> np.ndarray:
    """Return (49, 49) rows of the bias table: (dy + 6) * 13 + (dx + 6) for query minus key positions in a window."""
    y, x = np.divmod(np.arange(WINDOW**2), WINDOW)
    dy, dx = y[:, None] - y[None], x[:, None] - x[None]
    return (dy + WINDOW - 1) * (2 * WINDOW - 1) + dx + WINDOW - 1


@functools.lru_cache(maxsize=64)
def shift_mask(height: int, width: int) -> np.ndarray:
    """Return the additive mask (windows, 49, 49): -100 between tokens that only the cyclic shift brought together."""

    def region(length: int) -> np.ndarray:
        index = np.arange(length)
        return np.where(index < length - WINDOW, 0, np.where(index < length - SHIFT, 1, 2))

    regions = region(height)[:, None] * 3 + region(width)[None]
    regions = rearrange(regions, "(y i) (x j) -> (y x) (i j)", i=WINDOW, j=WINDOW)
    return np.where(regions[:, :, None] == regions[:, None], 0.0, -100.0).astype(np.float32)


class WindowAttention(nn.Module):
    """Attend inside windows: (b, windows, 49, c) to the same, with a learned bias for each relative position."""

    heads: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: np.ndarray | None) -> Array:
        channels = x.shape[-1]
        qkv = Linear(3 * channels, encoder=True, dtype=self.dtype, name="qkv")(x)
        q, k, v = rearrange(qkv, "b g s (three n d) -> three b g n s d", three=3, n=self.heads)
        table = parameter(
            self,
            "relative_position_bias_table",
            nn.initializers.truncated_normal(0.02),
            ((2 * WINDOW - 1) ** 2, self.heads),
        )
        bias = rearrange(table[relative_index()], "q k n -> n q k")
        scores = jnp.einsum("bgnqd,bgnkd->bgnqk", q * (channels // self.heads) ** -0.5, k)
        scores = scores.astype(jnp.float32) + bias
        if mask is not None:
            scores = scores + mask[:, None]
        weights = jax.nn.softmax(scores, axis=-1).astype(self.dtype)
        y = rearrange(jnp.einsum("bgnqk,bgnkd->bgnqd", weights, v), "b g n s d -> b g s (n d)")
        return Linear(channels, encoder=True, dtype=self.dtype, name="proj")(y)


class SwinBlock(nn.Module):
    """Window attention, shifted in odd blocks, then an MLP of four times the width; (b, h, w, c) to the same."""

    heads: int
    shifted: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, kept: Array | None) -> Array:
        _, height, width, channels = x.shape
        y = LayerNorm(dtype=self.dtype, name="norm1")(x)
        # Padding comes after the norm and padded tokens are attended to, as in the release.
        bottom, right = -height % WINDOW, -width % WINDOW
        y = jnp.pad(y, ((0, 0), (0, bottom), (0, right), (0, 0)))
        mask = None
        if self.shifted:
            y = jnp.roll(y, (-SHIFT, -SHIFT), axis=(1, 2))
            mask = shift_mask(height + bottom, width + right)
        rows = (height + bottom) // WINDOW
        y = rearrange(y, "b (y i) (x j) c -> b (y x) (i j) c", i=WINDOW, j=WINDOW)
        y = WindowAttention(self.heads, dtype=self.dtype, name="attn")(y, mask)
        y = rearrange(y, "b (y x) (i j) c -> b (y i) (x j) c", y=rows, i=WINDOW)
        if self.shifted:
            y = jnp.roll(y, (SHIFT, SHIFT), axis=(1, 2))
        x = x + drop_path(y[:, :height, :width], None if kept is None else kept[:, 0])
        y = LayerNorm(dtype=self.dtype, name="norm2")(x)
        y = gelu(Linear(4 * channels, encoder=True, dtype=self.dtype, name="fc1")(y))
        y = Linear(channels, encoder=True, dtype=self.dtype, name="fc2")(y)
        return x + drop_path(y, None if kept is None else kept[:, 1])


class PatchMerging(nn.Module):
    """Halve the grid: (b, h, w, c) to (b, ceil(h / 2), ceil(w / 2), 2 c)."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        _, height, width, channels = x.shape
        x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        corners = [x[:, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))]
        x = LayerNorm(dtype=self.dtype, name="norm")(jnp.concatenate(corners, axis=-1))
        return Linear(2 * channels, use_bias=False, encoder=True, dtype=self.dtype, name="reduction")(x)


class SwinB(nn.Module):
    """Encode images (b, h, w, 3) into maps of 128 (4x), 256 (8x), 512 (16x) channels, the last one twice."""

    dtype: Dtype = jnp.float32
    drop_path: float = 0.3  # rate of the full Swin-B's last block; earlier ones in proportion, 0 in the frozen stage

    @nn.compact
    def __call__(self, images: Array, keys: Array | None = None) -> list[Array]:
        bottom, right = -images.shape[1] % 4, -images.shape[2] % 4
        images = jnp.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)))
        x = Conv(EMBED, 4, stride=4, padding=0, use_bias=True, encoder=True, dtype=self.dtype, name="patch_embed")(
            images
        )
        x = LayerNorm(dtype=self.dtype, name="patch_embed_norm")(x)
        rates = self.drop_path * np.arange(ALL_BLOCKS) / (ALL_BLOCKS - 1)
        rates[: STAGES[0][0]] = 0
        kept = draw_kept(keys, np.repeat(rates[:, None], 2, axis=1))
        outputs, block = [], 0
        for s, (blocks, heads) in enumerate(STAGES):
            if s:
                x = PatchMerging(dtype=self.dtype, name=f"layers_{s - 1}_downsample")(x)
            for i in range(blocks):
                swin_block = SwinBlock(heads, i % 2 == 1, dtype=self.dtype, name=f"layers_{s}_blocks_{i}")
                x = swin_block(x, None if kept is None else kept[:, block])
                block += 1
            outputs.append(LayerNorm(dtype=self.dtype, name=f"norm{s}")(x))
        return [*outputs, outputs[-1]]
