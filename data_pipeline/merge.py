"""Select and renumber the objects of a clip, and merge two clips (dynamic merge: paper, section 5.1)."""

from typing import NamedTuple

import cv2
import numpy as np

from aot_jax.typing import VOID


class Clip(NamedTuple):
    """A training sample; its first frame is the reference."""

    images: np.ndarray  # (t, s, s, 3) uint8, RGB
    masks: np.ndarray  # (t, s, s) uint8: 0 background, 1 .. n objects, 255 void
    objects: int  # n


def large_ids(mask: np.ndarray, above: int) -> np.ndarray:
    """Return the object ids with more than `above` pixels in a mask (h, w) uint8, ascending; never 0 or 255."""
    counts = np.bincount(mask.reshape(-1), minlength=256)
    return 1 + np.flatnonzero(counts[1:VOID] > above)


def renumber(
    masks: np.ndarray, keep: np.ndarray, maximum: int, random: np.random.Generator, shuffle: bool = False
) -> tuple[np.ndarray, int]:
    """Renumber the kept objects as 1 .. n; the others become background, void stays.

    Args:
      masks: (t, h, w) uint8.
      keep: ids to keep, ascending.
      maximum: most objects kept; a random choice if there are more.
      random: the sample's random generator.
      shuffle: number them in random order instead of ascending.

    Returns:
      masks (t, h, w) uint8 and n.
    """
    chosen = random.permutation(keep)[:maximum]
    if not shuffle:
        chosen = np.sort(chosen)
    table = np.zeros(256, np.uint8)
    table[chosen] = 1 + np.arange(len(chosen))
    table[VOID] = VOID
    return cv2.LUT(masks, table), len(chosen)


def merge(below: Clip, above: Clip, random: np.random.Generator, min_object_pixels: int, max_objects: int) -> Clip:
    """Paste the objects of `above` over `below` in every frame, in place, and renumber.

    Args:
      below: clip with ids 1 .. max_objects; its void stays where nothing covers it.
      above: clip with ids 1 .. max_objects; its void is not pasted.
      random: the sample's random generator.
      min_object_pixels: objects with at most this many pixels in the merged first frame become background.
      max_objects: most objects kept; a random choice if there are more.
    """
    images, masks, _ = below
    for image, mask, top, ids in zip(images, masks, above.images, above.masks, strict=True):
        over = ((ids > 0) & (ids < VOID)).view(np.uint8)
        cv2.copyTo(top, over, image)
        cv2.copyTo(ids + np.uint8(max_objects), over, mask)
    return Clip(images, *renumber(masks, large_ids(masks[0], min_object_pixels), max_objects, random))
