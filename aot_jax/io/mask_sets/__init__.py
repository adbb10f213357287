"""Read the masks of a video as one set, in which a value or colour is the same object everywhere."""

from aot_jax.io.mask_sets.reader import Masks, read_masks

__all__ = ["Masks", "read_masks"]
