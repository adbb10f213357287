"""Count, choose and renumber the objects of a clip, as TensorFlow ops; `augment.py` and `merge.py` call it."""

import tensorflow as tf

from aot_jax.typing import VOID
from data_pipeline.sampling import Seed, uniform


def count_ids(mask: tf.Tensor) -> tf.Tensor:
    """Count the pixels of each value of a mask (h, w) uint8; returns (256,) int32."""
    return tf.math.bincount(tf.reshape(tf.cast(mask, tf.int32), [-1]), minlength=256, maxlength=256)


def are_objects(counts: tf.Tensor, above: int) -> tf.Tensor:
    """Tell which of the 256 values are objects with more than `above` pixels; 0 and 255 never are."""
    values = tf.range(256)
    return (counts > above) & (values > 0) & (values < VOID)


def renumber(
    masks: tf.Tensor, keep: tf.Tensor, maximum: int, seed: Seed, shuffle: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Give the kept objects the ids 1 .. n; the others become background, void stays.

    Args:
      masks: (t, h, w) uint8.
      keep: (256,) bool, values to keep.
      maximum: a random choice of this many stays where more are to be kept.
      seed: (2,) int64.
      shuffle: number them in random order instead of ascending.

    Returns:
      masks (t, h, w) uint8 and n, int32.
    """
    lottery = tf.where(keep, uniform(seed, [256]), 2.0)
    tickets, order = tf.math.top_k(-lottery, maximum)
    count = tf.reduce_sum(tf.cast(tickets > -1.5, tf.int32))
    winners = order[:count]
    if not shuffle:
        winners = tf.sort(winners)
    table = tf.tensor_scatter_nd_update(tf.zeros([256], tf.int32), winners[:, None], 1 + tf.range(count))
    table = tf.tensor_scatter_nd_update(table, [[VOID]], [VOID])
    return tf.gather(tf.cast(table, tf.uint8), tf.cast(masks, tf.int32)), count
