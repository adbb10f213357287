"""The Long Short-Term Transformer: block v1 (paper, section 4.2), block v2 and scalable depth (section 4.3).

A block reads the current frame and one layer's memory and returns the frame's own key and value, to which
`attach` adds identities later.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.attention import LongTermAttention, SelfAttention, split_heads
from aot_jax.models.identity import LayerIdentity, fuse
from aot_jax.models.layers import (
    DepthwiseConv,
    GroupNorm,
    LayerNorm,
    Linear,
    bias_uniform,
    draw_kept,
    drop_path,
    gelu,
    sine_position,
)
from aot_jax.models.local_attention import ShortTermAttention
from aot_jax.typing import Array


class LayerMemory(NamedTuple):
    """What one layer attends to; the trees are those that its block's `attach` returns, with an axis of frames."""

    long: Any  # tree of (b, n, k, h, w, d)
    long_valid: Array | None  # (b, k) bool; None: all
    short: Any  # tree of (b, n, t, h, w, d), the latest frame first
    short_valid: Array  # (b, t) bool


class FrameKV(NamedTuple):
    """One layer's key and value of one frame."""

    key: Array  # (b, n, h, w, d)
    value: Array  # (b, n, h, w, d)


class FeedForward(nn.Module):
    """Expand fourfold, GroupNorm, GELU, depthwise 5x5, reduce: (b, h, w, c) to the same."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = Linear(4 * x.shape[-1], dtype=self.dtype, name="expand")(x)
        y = gelu(GroupNorm(num_groups=32, dtype=self.dtype, name="norm")(y))
        y = DepthwiseConv(5, dtype=self.dtype, name="depthwise")(y)
        return Linear(x.shape[-1], dtype=self.dtype, name="reduce")(y)


class LSTTBlock(nn.Module):
    """LSTT block v1: identities are added to the value, in one space for all layers (paper, Eq. 3)."""

    channels: int
    heads: int
    window: int
    short_term_frames: int
    relative_position: bool
    local_attention: str
    locality: float | None
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.norm1 = LayerNorm(dtype=self.dtype)
        self.norm2 = LayerNorm(dtype=self.dtype)
        self.norm3 = LayerNorm(dtype=self.dtype)
        self.self_attention = SelfAttention(self.heads, dtype=self.dtype)
        self.long_attention = LongTermAttention(dtype=self.dtype)
        if self.short_term_frames:
            self.short_attention = ShortTermAttention(
                self.window, self.relative_position, self.local_attention, self.locality, dtype=self.dtype
            )
        self.feed_forward = FeedForward(dtype=self.dtype)
        self.make_projections()

    def make_projections(self) -> None:
        self.query = Linear(self.channels, dtype=self.dtype)
        self.value = Linear(self.channels, use_bias=False, dtype=self.dtype)
        self.value_bias = self.param("value_bias", bias_uniform(self.channels), (self.channels,))

    def project(self, y: Array) -> FrameKV:
        """Map the normed frame (b, h, w, c) to its query, which is also its key, and its value."""
        value = self.value(y) + self.value_bias.astype(self.dtype)
        return FrameKV(split_heads(self.query(y), self.heads), split_heads(value, self.heads))

    def identify(self, embedding: Array) -> LayerIdentity:
        """Map an identification embedding (b, h, w, c) into this layer; W(y + E) = W y + W E."""
        return LayerIdentity(None, split_heads(self.value(embedding), self.heads))

    def attach(self, own: FrameKV, identity: LayerIdentity) -> FrameKV:
        """Attach identities to a frame's key and value: what memory keeps of it."""
        return FrameKV(*fuse(own.key, own.value, identity))

    def __call__(
        self,
        x: Array,
        position: Array | None,
        memory: LayerMemory | None,
        identity: LayerIdentity | None,
        kept: Array | None,
    ) -> tuple[Array, FrameKV]:
        """Run the block on one frame.

        Args:
            x: (b, h, w, c), or (1, h, w, c) where all of the batch share it, as in the first layer.
            position: (h, w, c) sine embedding, or None.
            memory: what to attend to; None on a reference frame, which attends to itself.
            identity: the frame's own identities on a reference frame, else None.
            kept: (b, 2) factors of the self-attention's and the feed-forward's branch while training, else None.

        Returns:
            The output (b, h, w, c) and the frame's own key and value, of x's batch.
        """
        attended = self.self_attention(self.norm1(x), position)
        x = x + drop_path(attended, None if kept is None else kept[:, 0])
        own = self.project(self.norm2(x))
        if identity is not None:
            memory = self_memory(self.attach(own, identity))
        assert memory is not None, "a frame without identities needs a memory"
        matched = self.long_attention(own.key, memory.long.key, memory.long.value, memory.long_valid)
        if self.short_term_frames:
            matched = matched + self.short_attention(own.key, memory.short.key, memory.short.value, memory.short_valid)
        x = x + matched
        return x + drop_path(self.feed_forward(self.norm3(x)), None if kept is None else kept[:, 1]), own


class LSTTBlockV2(LSTTBlock):
    """LSTT block v2: identities enter a space of each layer's own and also gate the keys (paper, section 4.3)."""

    def make_projections(self) -> None:
        self.query_value = Linear(2 * self.channels, dtype=self.dtype)
        self.gate_identity = Linear(self.heads + self.channels, dtype=self.dtype)

    def project(self, y: Array) -> FrameKV:
        """Map the normed frame (b, h, w, c) to its query, which is also its key, and its value."""
        query, value = jnp.split(self.query_value(y), 2, axis=-1)
        return FrameKV(split_heads(query, self.heads), split_heads(value, self.heads))

    def identify(self, embedding: Array) -> LayerIdentity:
        """Map an identification embedding (b, h, w, c) to this layer's gate (first) and value."""
        gate, value = jnp.split(self.gate_identity(embedding), [self.heads], axis=-1)
        return LayerIdentity(split_heads(gate, self.heads), split_heads(value, self.heads))


def self_memory(frame: FrameKV) -> LayerMemory:
    """Make a reference frame its own memory: the attentions become self-attentions (paper, section 4.2)."""
    key, value = jnp.broadcast_to(frame.key, frame.value.shape)[:, :, None], frame.value[:, :, None]
    own = FrameKV(key, value)
    return LayerMemory(own, None, own, jnp.ones((key.shape[0], 1), bool))


BLOCKS = {"v1": LSTTBlock, "v2": LSTTBlockV2}


class LSTT(nn.Module):
    """A stack of LSTT blocks that runs at any depth up to its own; with `share_blocks`, one block at each layer."""

    block: str
    depth: int
    share_blocks: bool
    sine_position: bool
    channels: int
    heads: int
    window: int
    short_term_frames: int
    relative_position: bool
    local_attention: str
    locality: float | None
    drop_path: float
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        count = 1 if self.share_blocks else self.depth
        options = {
            name: getattr(self, name)
            for name in (
                "channels",
                "heads",
                "window",
                "short_term_frames",
                "relative_position",
                "local_attention",
                "locality",
                "dtype",
            )
        }
        self.layers = [BLOCKS[self.block](**options) for _ in range(count)]
        self.decoder_norms = [LayerNorm(dtype=self.dtype) for _ in range(count)]

    def identify(self, embedding: Array, depth: int) -> tuple[LayerIdentity, ...]:
        """Map an identification embedding (b, h, w, c) into each of the first `depth` layers."""
        if self.share_blocks:
            return (self.layers[0].identify(embedding),) * depth
        return tuple(layer.identify(embedding) for layer in self.layers[:depth])

    def attach(self, frame_kv: Sequence[Any], identity: Sequence[LayerIdentity]) -> tuple[Any, ...]:
        """Attach identities to what each layer keeps of a frame, for the layers that were run."""
        blocks = (self.layers[0 if self.share_blocks else i] for i in range(len(frame_kv)))
        return tuple(block.attach(*own) for block, *own in zip(blocks, frame_kv, identity, strict=True))

    def __call__(
        self,
        x: Array,
        memory: Sequence[LayerMemory] | None,
        identity: Sequence[LayerIdentity] | None,
        depth: int,
        keys: Array | None = None,
    ) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Run the first `depth` layers on one frame.

        Args:
            x: (b, h, w, c) projected encoder output at 16x; or (1, h, w, c), one image for all groups of objects, of
                which the first layer's self-attention and projections are then computed once.
            memory: for each layer what to attend to; None on a reference frame.
            identity: for each layer the frame's own identities on a reference frame, else None.
            depth: layers to run, L'.
            keys: (b,) random keys of drop path while training, else None.

        Returns:
            The normed output (b, h, w, c) of each layer for the decoder, and what each layer keeps of the frame.
        """
        position = sine_position(*x.shape[1:]) if self.sine_position else None
        kept = draw_kept(keys, np.full((depth, 2), self.drop_path))
        outputs, frame_kv = [], []
        for i in range(depth):
            index = 0 if self.share_blocks else i
            x, own = self.layers[index](
                x,
                None if position is None else jnp.asarray(position),
                None if memory is None or identity is not None else memory[i],
                None if identity is None else identity[i],
                None if kept is None else kept[:, i],
            )
            outputs.append(self.decoder_norms[index](x))
            frame_kv.append(own)
        return tuple(outputs), tuple(frame_kv)
