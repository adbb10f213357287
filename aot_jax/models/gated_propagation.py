"""The gated propagation module, the block of DeAOT, and its stack.

Paper: Yang and Yang, "Decoupling Features in Hierarchical Propagation for Video Object Segmentation", section 3. Two
branches run side by side: the visual branch x describes the frame, the identity branch z its objects. Attention maps
are computed from x alone, with one head, and applied to both branches:

    GP(U, Q, K, V) = F_dw(U * softmax(Q K^T / sqrt(d)) V) W_O

From the second layer on both branches are one map (b, h, w, 2 c), x first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn
from flax.linen import silu
from flax.typing import Dtype

from aot_jax.models.attention import LongTermAttention
from aot_jax.models.layers import DepthwiseConv, GroupNorm, LayerNorm, Linear, drop_path
from aot_jax.models.local_attention import short_term_attention
from aot_jax.models.lstt import LSTT, FrameKV, LayerMemory, self_memory
from aot_jax.ops.attention import attend
from aot_jax.typing import Array


class GatedFrame(NamedTuple):
    """What one layer keeps of a frame until its identities are known."""

    key: Array  # (b, h, w, c / 2), which is also its query
    value: Array  # (b, h, w, 2 c), of the visual branch
    identity: Array | None  # (b, h, w, c), the identity branch, normed; None in the first layer, which has none


class GatedPropagation(nn.Module):
    """Gate attended values, convolve depthwise 5x5, project: (b, h, w, 4 c) to (b, h, w, 2 c), both branches."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, attended: Array, gate: Array, kept: Array | None) -> Array:
        """Map `attended`; `gate` has its shape, `kept` (b, 4 c) holds factors of channels while training, else None."""
        y = DepthwiseConv(5, dtype=self.dtype, name="depthwise")(attended * gate)
        if kept is not None:
            y = y * kept[:, None, None].astype(y.dtype)
        return Linear(y.shape[-1] // 2, dtype=self.dtype, name="projection")(y)


class GatedSelfAttention(nn.Module):
    """Propagate both branches within a frame: (b, h, w, 2 c), normed, to the same."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, a: Array, kept: Array | None) -> Array:
        channels = a.shape[-1] // 2

        def by_branch(name: str) -> Array:
            """Map each branch by a layer of its own: (b, h, w, 4 c)."""
            halves = enumerate(jnp.split(a, 2, axis=-1), start=1)
            return silu(merge([Linear(2 * channels, dtype=self.dtype, name=f"{name}{i}")(x) for i, x in halves]))

        flat = "b h w d -> b 1 (h w) d"
        query = rearrange(Linear(channels // 2, dtype=self.dtype, name="query_key")(a), flat)
        attended = attend(query, query, rearrange(by_branch("value"), flat))
        attended = rearrange(attended, "b 1 (h w) d -> b h w d", h=a.shape[1])
        return GatedPropagation(dtype=self.dtype, name="gated")(attended, by_branch("gate"), kept)


class GatedPropagationModule(nn.Module):
    """One layer: long-term and short-term propagation from memory, then propagation within the frame."""

    config: Any  # `config.model`
    first: bool  # the first layer, whose input has no identity branch
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        channels = self.config.channels
        self.norm1 = LayerNorm(dtype=self.dtype)
        self.query_value = Linear(channels // 2 + 2 * channels, dtype=self.dtype)
        self.gate = Linear(2 * channels, dtype=self.dtype)
        self.identity_value = Linear(2 * channels, dtype=self.dtype)
        if not self.first:
            self.identity_norm1 = LayerNorm(dtype=self.dtype)
            self.identity_gate = Linear(2 * channels, dtype=self.dtype)
        self.long_attention = LongTermAttention(project=False, dtype=self.dtype)
        self.long_gated = GatedPropagation(dtype=self.dtype)
        if self.config.short_term_frames:
            self.short_attention = short_term_attention(
                self.config, relative_values=False, project=False, dtype=self.dtype
            )
            self.short_gated = GatedPropagation(dtype=self.dtype)
        self.norm2 = LayerNorm(dtype=self.dtype)
        self.identity_norm2 = LayerNorm(dtype=self.dtype)
        self.self_attention = GatedSelfAttention(dtype=self.dtype)

    def identify(self, embedding: Array) -> Array:
        """Return the identification embedding (b, h, w, c) unchanged: `attach` maps it together with the frame."""
        return embedding

    def attach(self, frame: GatedFrame, identity: Array) -> FrameKV:
        """Compute a frame's identity value from its identification embedding and append it to the visual value."""
        source = identity if frame.identity is None else merge([frame.identity, identity])
        value = merge([frame.value, silu(self.identity_value(source))])
        return FrameKV(frame.key[:, None], value[:, None])

    def project(self, x: Array, z: Array | None) -> tuple[GatedFrame, Array]:
        """Map the branches (b, h, w, c) to what the layer keeps of the frame, and to the gate (b, h, w, 4 c)."""
        u = self.norm1(x)
        query, value = jnp.split(self.query_value(u), [x.shape[-1] // 2], axis=-1)
        gate = silu(self.gate(u))
        y = None if z is None else self.identity_norm1(z)
        identity_gate = jnp.ones_like(gate) if y is None else silu(self.identity_gate(y))
        return GatedFrame(query, silu(value), y), merge([gate, identity_gate])

    def __call__(
        self, x: Array, position: None, memory: LayerMemory | None, identity: Array | None, kept: Array | None
    ) -> tuple[Array, GatedFrame]:
        """Run the layer on one frame.

        Args:
            x: (b, h, w, c) visual branch in the first layer, (1, h, w, c) where all of the batch share it; then both
                branches, (b, h, w, 2 c).
            position: None; gated propagation has no position embedding.
            memory: what to attend to; None on a reference frame, which attends to itself.
            identity: the frame's own identification embedding (b, h, w, c) on a reference frame, else None.
            kept: (b, r) factors from `draw_kept` for the r rates of `drop_rates` while training, else None.

        Returns:
            Both branches (b, h, w, 2 c), and what the layer keeps of the frame, of x's batch.
        """
        x, z = (x, None) if self.first else jnp.split(x, 2, axis=-1)
        channels = x.shape[-1]
        branches = long_kept = short_kept = self_kept = None
        if kept is not None:
            branches, long_kept, short_kept, self_kept = jnp.split(
                kept, [2, 2 + 4 * channels, 2 + 8 * channels], axis=1
            )
        frame, gate = self.project(x, z)
        if identity is not None:
            memory = self_memory(self.attach(frame, identity))
        assert memory is not None, "a frame without identities needs a memory"
        query = frame.key[:, None]
        attended = self.long_attention(query, memory.long.key, memory.long.value, memory.long_valid)
        matched = self.long_gated(attended, gate, long_kept)
        if self.config.short_term_frames:
            attended = self.short_attention(query, memory.short.key, memory.short.value, memory.short_valid)
            matched = matched + self.short_gated(attended, gate, short_kept)
        for_x, for_z = jnp.split(matched, 2, axis=-1)
        x, z = x + for_x, for_z if z is None else z + for_z
        attended = self.self_attention(merge([self.norm2(x), self.identity_norm2(z)]), self_kept)
        for_x, for_z = jnp.split(attended, 2, axis=-1)
        if branches is not None:
            for_x, for_z = drop_path(for_x, branches[:, 0]), drop_path(for_z, branches[:, 1])
        return merge([x + for_x, z + for_z]), frame


class DualBranchLSTT(LSTT):
    """A stack of gated propagation modules; the decoder reads both branches of the last one alone."""

    def setup(self) -> None:
        depth = self.config.depth
        self.layers = [GatedPropagationModule(self.config, first=i == 0, dtype=self.dtype) for i in range(depth)]
        self.decoder_norms = [GroupNorm(num_groups=2, dtype=self.dtype)]

    @staticmethod
    def numbers_kept(config: Any) -> int:
        """Return how many numbers memory stores for each layer and cell of a frame: key and both values."""
        return config.channels // 2 + 4 * config.channels

    def drop_rates(self) -> np.ndarray:
        """Return a layer's drop rates while training: of the two branches of its propagation within the frame, then of
        the channels of its three depthwise convolutions.
        """
        channels = np.full(3 * 4 * self.config.channels, self.config.channel_drop)
        return np.concatenate([np.full(2, self.config.drop_path), channels])

    def norm(self, outputs: Sequence[Array]) -> tuple[Array, ...]:
        """Norm both branches of the last layer, each in one group."""
        return (self.decoder_norms[0](outputs[-1]),)


def merge(parts: Sequence[Array]) -> Array:
    """Join maps by channels; those of batch 1 are shared by the whole batch."""
    batch = max(x.shape[0] for x in parts)
    return jnp.concatenate([jnp.broadcast_to(x, (batch, *x.shape[1:])) for x in parts], axis=-1)
