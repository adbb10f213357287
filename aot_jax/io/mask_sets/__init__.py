"""Masks of a video read as one set, with one meaning for all of them."""

from aot_jax.io.mask_sets.reader import Masks, read_masks

__all__ = ["Masks", "read_masks"]
