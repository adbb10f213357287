"""The identification mechanism: masks become an embedding that attention carries along (paper, section 4.1)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import bias_uniform, parameter
from aot_jax.ops.patches import embed_patches
from aot_jax.typing import Array


class LayerIdentity(NamedTuple):
    """What a frame's identities add to one layer's memory."""

    gate: Array | None  # (b, n, h, w, 1), factor on the key is 1 + tanh(gate); None in block v1
    value: Array  # (b, n, h, w, d), added to the value


def fuse(key: Array, value: Array, identity: LayerIdentity) -> tuple[Array, Array]:
    """Attach identities to a frame's key and value, each (b, n, h, w, d): K * (1 + tanh(g)), V + e.

    Paper: Eq. 3 for block v1, AttID^V2 of section 4.3 for block v2.
    """
    if identity.gate is not None:
        key = key * (1 + jnp.tanh(identity.gate))
    return key, value + identity.value


class IdentityBank(nn.Module):
    """Embed masks patch by patch: E = ID(Y, D) = Y P D (paper, Eq. 2 and "patch-wise identity bank").

    The one-hot mask over background and M identities is convolved at stride 16 with a kernel of one patch, so that each
    pixel of a patch has its own sub-identity. Without `patch_wise`, the mask is subsampled to the 16x grid first.
    """

    identities: int
    channels: int
    align_corners: bool
    patch_wise: bool = True
    gain: float | None = None  # gain of the initial orthogonal kernel; None: 1 / pixels of a patch (release)
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, mask: Array, permutation: Array | None = None) -> Array:
        """Embed a mask.

        Args:
            mask: (b, h, w) integers: 0 background, 1 .. M objects; other values (255: void) add nothing.
            permutation: (b, M) integers: object i takes bank identity permutation[i - 1] + 1; None: identity i.

        Returns:
            (b, h', w', c) at the LSTT's grid; h' is h / 16, rounded up.
        """
        size = 1
        if self.patch_wise:
            size = 17 if self.align_corners else 16
        else:
            start = 0 if self.align_corners else 8
            mask = mask[:, start::16, start::16]
        if permutation is not None:
            mask = jax.vmap(permute_mask)(mask, permutation)
        shape = (size, size, self.identities + 1, self.channels)
        # Rows of the orthogonal matrix are output channels, as in the release.
        gain = 1.0 / size**2 if self.gain is None else self.gain
        orthogonal = nn.initializers.orthogonal(scale=gain, column_axis=-1)
        kernel = parameter(self, "kernel", orthogonal, shape)
        bias = parameter(self, "bias", bias_uniform(size * size * (self.identities + 1)), (self.channels,))
        kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)
        if self.patch_wise:
            return embed_patches(mask, kernel) + bias
        return jax.nn.one_hot(mask, self.identities + 1, dtype=self.dtype) @ kernel[0, 0] + bias


def permute_mask(mask: Array, permutation: Array) -> Array:
    """Rename the objects of a mask (h, w): object i becomes permutation[i - 1] + 1; 0 and ids above M stay."""
    count = permutation.shape[0]
    table = jnp.concatenate([jnp.zeros((1,), permutation.dtype), permutation + 1])
    return jnp.where((mask >= 0) & (mask <= count), table[jnp.clip(mask, 0, count)], mask)


def unpermute_logits(logits: Array, permutation: Array) -> Array:
    """Reorder logits (b, h, w, M + 1) from identities to objects: object i reads channel permutation[i - 1] + 1."""
    background = jnp.zeros((permutation.shape[0], 1), permutation.dtype)
    index = jnp.concatenate([background, permutation + 1], axis=1)
    return jnp.take_along_axis(logits, index[:, None, None], axis=-1)
