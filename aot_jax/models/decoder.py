"""The FPN head that reads identities out of the LSTT's outputs (paper, section 4.1 and "Network Details")."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import Conv, GroupNorm, Linear
from aot_jax.models.pyramid import ConvUp, add_shared
from aot_jax.typing import Array


class ConvNorm(nn.Module):
    """Convolve and normalise in 8 groups: (b, h, w, c) to (b, h, w, features)."""

    features: int
    kernel_size: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.kernel_size == 1:
            x = Linear(self.features, dtype=self.dtype, name="conv")(x)
        else:
            x = Conv(self.features, self.kernel_size, use_bias=True, dtype=self.dtype, name="conv")(x)
        return GroupNorm(num_groups=8, dtype=self.dtype, name="norm")(x)


class ConvUpNorm(nn.Module):
    """Upsample a map twofold, add a finer one, convolve and normalise in 8 groups; see `ConvUp`."""

    features: int
    align_corners: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, fine: Array, adapter: tuple[Array, Array]) -> Array:
        x = ConvUp(self.features, self.align_corners, dtype=self.dtype, name="conv")(x, fine, *adapter)
        return GroupNorm(num_groups=8, dtype=self.dtype, name="norm")(x)


class Decoder(nn.Module):
    """Decode the LSTT's outputs with encoder features as shortcuts into one logit for each identity at 4x.

    A scalable decoder has one input layer for each depth and shares the rest. With `last_only` (shared blocks) it
    reads the last LSTT output alone, otherwise all of them and the encoder's projected 16x map.
    """

    identities: int
    channels: int
    depth: int
    scalable: bool
    last_only: bool
    align_corners: bool
    shortcut_gain: float = 1.0  # gain of the shortcuts' initial kernels
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        half = self.channels // 2
        count = self.depth if self.scalable else 1
        self.conv_in = [ConvNorm(self.channels, 1, dtype=self.dtype) for _ in range(count)]
        self.conv_16x = ConvNorm(self.channels, 3, dtype=self.dtype)
        self.conv_8x = ConvUpNorm(half, self.align_corners, dtype=self.dtype)
        self.conv_4x = ConvUpNorm(half, self.align_corners, dtype=self.dtype)
        self.adapter_16x = Linear(self.channels, gain=self.shortcut_gain, dtype=self.dtype)
        self.adapter_8x = Linear(self.channels, gain=self.shortcut_gain)
        self.adapter_4x = Linear(half, gain=self.shortcut_gain)
        self.conv_out = Linear(self.identities + 1, dtype=self.dtype)

    def __call__(
        self, shortcuts: Sequence[Array], projected: Array, outputs: Sequence[Array], every_depth: bool = False
    ) -> Array:
        """Decode.

        Args:
            shortcuts: encoder maps at 4x, 8x and 16x, (s, h, w, c); s is b, or 1 where all of the batch share them.
            projected: (s, h, w, c) the LSTT's input at 16x.
            outputs: (b, h, w, c) of LSTT layers 1 .. L', normed.
            every_depth: decode the first 1, 2 .. L' outputs of a scalable network, all in one batch.

        Returns:
            Logits (b, h, w, M + 1) at 4x in float32, channel 0 is the background; with `every_depth`
            (l, b, h, w, M + 1).
        """
        batch = outputs[-1].shape[0]
        first = 1 if every_depth and self.scalable else len(outputs)
        depths = range(first, len(outputs) + 1)
        x = jnp.concatenate([self._run_input(projected, outputs[:depth], batch) for depth in depths])

        x4, x8, x16 = shortcuts
        x = jax.nn.relu(self.conv_16x(add_shared(x, self.adapter_16x(x16))))
        x = jax.nn.relu(self.conv_8x(x, x8, self.adapter_8x.weights(x8.shape[-1])))
        x = jax.nn.relu(self.conv_4x(x, x4, self.adapter_4x.weights(x4.shape[-1])))
        logits = self.conv_out(x).astype(jnp.float32)
        return logits.reshape(len(depths), batch, *logits.shape[1:]) if every_depth else logits

    def _run_input(self, projected: Array, outputs: Sequence[Array], batch: int) -> Array:
        """Run the input layer for the depth of `outputs`; returns (b, h, w, c) at 16x."""
        if self.last_only:
            x = outputs[-1]
        else:
            x = jnp.concatenate([jnp.broadcast_to(projected, (batch, *projected.shape[1:])), *outputs], axis=-1)
        return jax.nn.relu(self.conv_in[len(outputs) - 1 if self.scalable else 0](x))
