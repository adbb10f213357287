"""AOT: encode, identify, propagate, decode (paper, Fig. 3)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.lax import stop_gradient

from aot_jax.models.decoder import Decoder
from aot_jax.models.encoders import ENCODERS
from aot_jax.models.gated_propagation import DualBranchLSTT
from aot_jax.models.identity import IdentityBank, LayerIdentity
from aot_jax.models.layers import LayerNorm, Linear, check_rank
from aot_jax.models.lstt import LSTT, LayerMemory
from aot_jax.typing import Array

BLOCKS = {"v1": LSTT, "v2": LSTT, "gpm": DualBranchLSTT}  # stack class of each kind of block


class Features(NamedTuple):
    """The encoder's maps of a frame."""

    x4: Array  # (b, h, w, c) at 4x
    x8: Array  # (b, h, w, c) at 8x
    x16: Array  # (b, h, w, c) at 16x
    projected: Array  # (b, h, w, c) at 16x, the LSTT's input


class AOT(nn.Module):
    """One network for all objects of a video. `config` is a frozen `config.model`; the methods are pure.

    AOST is the same with `config.scalable`: run at a depth L' below its own, it uses the first L' layers and the
    decoder input layer of that depth, nothing else, and equals a model built at that depth (paper, section 4.3).
    """

    config: Any
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        c = self.config
        self.encoder = ENCODERS[c.encoder](dtype=self.dtype, drop_path=c.encoder_drop_path)
        self.encoder_projector = Linear(c.channels, dtype=self.dtype)
        self.identity_bank = IdentityBank(
            c.identities, c.channels, c.align_corners, c.patch_wise_bank, c.bank_gain, dtype=self.dtype
        )
        if c.block != "v1":
            self.id_norm = LayerNorm(dtype=self.dtype)
        self.lstt = BLOCKS[c.block](c, dtype=self.dtype)
        self.decoder = Decoder(
            identities=c.identities,
            channels=c.channels,
            depth=c.depth,
            scalable=c.scalable,
            last_only=c.share_blocks or c.block == "gpm",
            align_corners=c.align_corners,
            shortcut_gain=c.shortcut_gain,
            dtype=self.dtype,
        )

    def encode(self, images: Array, keys: Array | None = None) -> Features:
        """Encode images.

        Args:
            images: (b, h, w, 3) RGB, ImageNet-normalised; h and w are 16 n + 1, or 16 n without `align_corners`.
            keys: (b,) random keys of drop path while training, else None.

        Raises:
            ValueError: if the images have other axes or a size off the 16x grid.
        """
        check_rank("images", images, "bhwc")
        check_size(images.shape[1:3], self.config.align_corners)
        x4, x8, x16, last = self.encoder(images.astype(self.dtype), keys)
        return Features(x4, x8, x16, self.encoder_projector(last))

    def identify(
        self, mask: Array, permutation: Array | None = None, depth: int | None = None, detach: Array | bool = False
    ) -> tuple[LayerIdentity, ...]:
        """Embed a mask and map it into each layer's memory space (paper, Eq. 2 and section 4.3).

        Args:
            mask: (b, h, w) integers at the images' size: 0 background, 1 .. M objects, 255 void.
            permutation: (b, M) bank identity of each object; None: in order.
            depth: number of layers; None: all.
            detach: whether to stop gradients into the bank and its norm (second half of video training).
        """
        embedding = self.identity_bank(mask, permutation)
        if self.config.block != "v1":
            embedding = self.id_norm(embedding)
        if detach is not False:
            embedding = jnp.where(detach, stop_gradient(embedding), embedding)
        return self.lstt.identify(embedding, self.depth(depth))

    def propagate(
        self,
        projected: Array,
        memory: Sequence[LayerMemory] | None,
        identity: Sequence[LayerIdentity] | None = None,
        depth: int | None = None,
        keys: Array | None = None,
    ) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        """Carry identities from memory to the current frame through the LSTT; see `LSTT.__call__`."""
        return self.lstt(projected, memory, identity, self.depth(depth), keys)

    def attach(
        self,
        frame_kv: Sequence[Any],
        mask: Array,
        permutation: Array | None = None,
        detach: Array | bool = False,
    ) -> tuple[Any, ...]:
        """Attach a mask's identities to what `propagate` returned for its frame, layer by layer; see `identify`.

        Returns:
            For each layer that was run, what memory keeps of the frame: a tree of arrays (b, n, h, w, d), or
            (1, n, h, w, d) where samples share an image and no identity enters.
        """
        return self.lstt.attach(frame_kv, self.identify(mask, permutation, len(frame_kv), detach))

    def decode(self, features: Features, outputs: Sequence[Array], every_depth: bool = False) -> Array:
        """Read out identities: logits (b, h, w, M + 1) at 4x, in the bank's order; see `Decoder.__call__`."""
        return self.decoder(features[:3], features.projected, outputs, every_depth)

    def numbers_kept(self) -> int:
        """Return how many numbers memory stores for each layer and 16x cell of a frame."""
        return BLOCKS[self.config.block].numbers_kept(self.config)

    def depth(self, depth: int | None) -> int:
        """Return the depth to run, None being the network's own; raise ValueError for one it cannot run at."""
        full = self.config.depth
        if depth is None:
            return full
        if not 1 <= depth <= full or (depth != full and not self.config.scalable):
            allowed = f"1 .. {full}" if self.config.scalable else f"{full} (only scalable models, AOST, run at others)"
            raise ValueError(f"depth is {depth}, but this network runs at {allowed}")
        return depth

    def __call__(self, image: Array, mask: Array) -> Array:
        """Segment a reference frame at each depth, for `init` to use every parameter: logits (l, b, h, w, M + 1)."""
        features = self.encode(image)
        outputs, _ = self.propagate(features.projected, None, self.identify(mask))
        return self.decode(features, outputs, every_depth=True)


def check_size(size: Sequence[int], align_corners: bool) -> None:
    """Raise ValueError unless both lengths of `size` lie on the encoder's grid."""
    rest = 1 if align_corners else 0
    if any(n % 16 != rest or n < 1 for n in size):
        form = "16 n + 1" if align_corners else "16 n"
        raise ValueError(
            f"the network takes heights and widths of {form} pixels, got {size[0]}x{size[1]}; "
            "`aot_jax.preprocess.inference_size` gives the nearest size"
        )
