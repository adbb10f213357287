"""Dynamic merge: paste one clip's objects over another (paper, section 5.1; design, section 7), for `pipeline.py`."""

import tensorflow as tf

from aot_jax.typing import VOID
from data_pipeline.augment import Clip
from data_pipeline.identities import are_objects, count_ids, renumber
from data_pipeline.sampling import Seed


def merge(below: Clip, above: Clip, seed: Seed, min_object_pixels: int, max_objects: int) -> Clip:
    """Paste `above`'s objects over `below` in every frame and renumber.

    Args:
      below: images (t, s, s, 3) uint8, masks (t, s, s) uint8 with ids 1 .. max_objects and void, object count.
      above: the same; its void is not pasted.
      seed: (2,) int64.
      min_object_pixels: objects with no more pixels than this in the merged first frame become background.
      max_objects: a random choice of this many stays.

    Returns:
      images, masks and object count; void of `below` stays where nothing covers it.
    """
    images, masks, _ = below
    over = (above[1] > 0) & (above[1] < VOID)
    images = tf.where(over[..., None], above[0], images)
    masks = tf.where(over, above[1] + tf.constant(max_objects, tf.uint8), masks)
    keep = are_objects(count_ids(masks[0]), min_object_pixels)
    masks, objects = renumber(masks, keep, max_objects, seed)
    return images, masks, objects
