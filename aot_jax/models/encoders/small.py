"""A small encoder that trains from scratch in minutes, for the quick start; it needs no ImageNet weights.

Patches of 4x4 pixels, then residual blocks of a depthwise convolution and two linear layers with normalisation inside,
halving the grid twice. It is not in the paper.
"""

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import DepthwiseConv, LayerNorm, Linear
from aot_jax.typing import Array

CHANNELS = (48, 96, 192)  # at 4x, 8x, 16x
BLOCKS = (1, 1, 2)
# Initial scale of the maps that go straight to the decoder. With a larger scale the identities from the LSTT hardly
# affect the logits for hundreds of updates. A scale grows more slowly in training than a small kernel would.
SHORTCUT_SCALE = 0.1


class Block(nn.Module):
    """Convolve depthwise, then two linear layers, with a residual connection; (b, h, w, c) to the same."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        y = DepthwiseConv(5, encoder=True, dtype=self.dtype, name="depthwise")(x)
        y = LayerNorm(dtype=self.dtype, name="norm")(y)
        y = jax.nn.relu(Linear(2 * channels, encoder=True, dtype=self.dtype, name="expand")(y))
        return x + Linear(channels, encoder=True, dtype=self.dtype, name="reduce")(y)


class Small(nn.Module):
    """Encode images (b, h, w, 3) into maps of 48 (4x), 96 (8x), 192 (16x) and 192 (16x) channels."""

    dtype: Dtype = jnp.float32
    drop_path: float = 0.0  # unused: only Swin drops paths

    @nn.compact
    def __call__(self, images: Array, keys: Array | None = None) -> list[Array]:
        del keys
        x, outputs = images, []
        for stage, (channels, blocks) in enumerate(zip(CHANNELS, BLOCKS, strict=True)):
            side = 2 if stage else 4
            # A grid of 16 n + 1 pixels has 4 n + 1, 2 n + 1, n + 1 cells: the last is padded with zeros.
            x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % side), (0, -x.shape[2] % side), (0, 0)))
            x = rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=side, j=side)
            x = Linear(channels, encoder=True, dtype=self.dtype, name=f"patch{stage}")(x)
            x = LayerNorm(dtype=self.dtype, name=f"patch{stage}_norm")(x)
            for i in range(blocks):
                x = Block(dtype=self.dtype, name=f"stage{stage}_block{i}")(x)
            quiet = nn.initializers.constant(SHORTCUT_SCALE)
            outputs.append(LayerNorm(scale_init=quiet, dtype=self.dtype, name=f"output{stage}_norm")(x))
        return [*outputs, LayerNorm(dtype=self.dtype, name="last_norm")(x)]
