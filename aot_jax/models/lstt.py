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
    parameter,
    sine_position,
)
from aot_jax.models.local_attention import short_term_attention
from aot_jax.typing import Array


class LayerMemory(NamedTuple):
    """What one layer attends to; the trees are those that its block's `attach` returns, with an axis of frames."""

    long: Any  # tree of (b, n, k, h, w, d)
    long_valid: Array | None  # (b, k) bool, slots that hold a frame; None: all
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

    config: Any  # `config.model`
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        self.norm1 = LayerNorm(dtype=self.dtype)
        self.norm2 = LayerNorm(dtype=self.dtype)
        self.norm3 = LayerNorm(dtype=self.dtype)
        self.self_attention = SelfAttention(self.config.heads, dtype=self.dtype)
        self.long_attention = LongTermAttention(dtype=self.dtype)
        if self.config.short_term_frames:
            self.short_attention = short_term_attention(self.config, dtype=self.dtype)
        self.feed_forward = FeedForward(dtype=self.dtype)
        self.make_projections()

    def make_projections(self) -> None:
        channels = self.config.channels
        self.query = Linear(channels, dtype=self.dtype)
        self.value = Linear(channels, use_bias=False, dtype=self.dtype)
        self.value_bias = parameter(self, "value_bias", bias_uniform(channels), (channels,))

    def project(self, y: Array) -> FrameKV:
        """Map the normed frame (b, h, w, c) to its query, which is also its key, and its value."""
        value = self.value(y) + self.value_bias.astype(self.dtype)
        return FrameKV(split_heads(self.query(y), self.config.heads), split_heads(value, self.config.heads))

    def identify(self, embedding: Array) -> LayerIdentity:
        """Map an identification embedding (b, h, w, c) into this layer; W(y + E) = W y + W E."""
        return LayerIdentity(None, split_heads(self.value(embedding), self.config.heads))

    def attach(self, frame: FrameKV, identity: LayerIdentity) -> FrameKV:
        """Attach identities to a frame's key and value, as memory stores them."""
        return FrameKV(*fuse(frame.key, frame.value, identity))

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
            kept: (b, 2) factors from `draw_kept` for the rates of `drop_rates` while training, else None.

        Returns:
            The output (b, h, w, c) and the frame's own key and value, of x's batch.
        """
        attended = self.self_attention(self.norm1(x), position)
        x = x + drop_path(attended, None if kept is None else kept[:, 0])
        frame = self.project(self.norm2(x))
        if identity is not None:
            memory = self_memory(self.attach(frame, identity))
        assert memory is not None, "a frame without identities needs a memory"
        matched = self.long_attention(frame.key, memory.long.key, memory.long.value, memory.long_valid)
        if self.config.short_term_frames:
            matched = matched + self.short_attention(
                frame.key, memory.short.key, memory.short.value, memory.short_valid
            )
        x = x + matched
        return x + drop_path(self.feed_forward(self.norm3(x)), None if kept is None else kept[:, 1]), frame


class LSTTBlockV2(LSTTBlock):
    """LSTT block v2: each layer has its own weights for identities, which also gate the keys (paper, section 4.3)."""

    def make_projections(self) -> None:
        self.query_value = Linear(2 * self.config.channels, dtype=self.dtype)
        self.gate_identity = Linear(self.config.heads + self.config.channels, dtype=self.dtype)

    def project(self, y: Array) -> FrameKV:
        """Map the normed frame (b, h, w, c) to its query, which is also its key, and its value."""
        query, value = jnp.split(self.query_value(y), 2, axis=-1)
        return FrameKV(split_heads(query, self.config.heads), split_heads(value, self.config.heads))

    def identify(self, embedding: Array) -> LayerIdentity:
        """Map an identification embedding (b, h, w, c) to this layer's gate (first) and value."""
        gate, value = jnp.split(self.gate_identity(embedding), [self.config.heads], axis=-1)
        return LayerIdentity(split_heads(gate, self.config.heads), split_heads(value, self.config.heads))


def self_memory(frame: FrameKV) -> LayerMemory:
    """Make a reference frame its own memory: the attentions become self-attentions (paper, section 4.2)."""
    stored = FrameKV(frame.key[:, :, None], frame.value[:, :, None])
    return LayerMemory(stored, None, stored, jnp.ones((frame.value.shape[0], 1), bool))


class LSTT(nn.Module):
    """A stack of LSTT blocks that runs at any depth up to its own; with `share_blocks`, all layers are one block."""

    config: Any  # `config.model`
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        block = LSTTBlockV2 if self.config.block == "v2" else LSTTBlock
        count = 1 if self.config.share_blocks else self.config.depth
        self.layers: list[Any] = [block(self.config, dtype=self.dtype) for _ in range(count)]
        self.decoder_norms: list[Any] = [LayerNorm(dtype=self.dtype) for _ in range(count)]

    @staticmethod
    def numbers_kept(config: Any) -> int:
        """Return how many numbers memory stores for each layer and cell of a frame: key and value."""
        return 2 * config.channels

    def drop_rates(self) -> np.ndarray:
        """Return a layer's drop rates while training: of its self-attention and of its feed-forward part."""
        return np.full(2, self.config.drop_path)

    def norm(self, outputs: Sequence[Array]) -> tuple[Array, ...]:
        """Norm the layers' outputs for the decoder."""
        return tuple(self.decoder_norms[i % len(self.decoder_norms)](x) for i, x in enumerate(outputs))

    def identify(self, embedding: Array, depth: int) -> tuple[LayerIdentity, ...]:
        """Map an identification embedding (b, h, w, c) into each of the first `depth` layers."""
        identities = tuple(layer.identify(embedding) for layer in self.layers[:depth])
        return identities * depth if self.config.share_blocks else identities

    def attach(self, frame_kv: Sequence[Any], identity: Sequence[LayerIdentity]) -> tuple[Any, ...]:
        """Attach identities to what each layer keeps of a frame, for the layers that were run."""
        blocks = (self.layers[i % len(self.layers)] for i in range(len(frame_kv)))
        return tuple(block.attach(*arguments) for block, *arguments in zip(blocks, frame_kv, identity, strict=True))

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
            memory: for each layer, what to attend to; None on a reference frame.
            identity: for each layer, the frame's own identities on a reference frame, else None.
            depth: layers to run, L'.
            keys: (b,) random keys of drop path while training, else None.

        Returns:
            The normed outputs (b, h, w, c) that the decoder reads, and what each layer keeps of the frame.
        """
        position = jnp.asarray(sine_position(*x.shape[1:])) if self.config.sine_position else None
        kept = draw_kept(keys, np.stack([self.drop_rates()] * depth))
        outputs, frame_kv = [], []
        for i in range(depth):
            x, layer_kv = self.layers[i % len(self.layers)](
                x,
                position,
                None if memory is None else memory[i],
                None if identity is None else identity[i],
                None if kept is None else kept[:, i],
            )
            outputs.append(x)
            frame_kv.append(layer_kv)
        return self.norm(outputs), tuple(frame_kv)
