"""Choose the frames of a clip, from the index alone (design, section 7 "Sampling of a clip"); `pipeline.py` calls it.

Every draw is a stateless function of the seed given. Nothing here reads an image.
"""

from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from data_pipeline.sequences import SequenceTable

Seed: TypeAlias = tf.Tensor  # (2,) int64


def fold(seed: Seed, number: int | tf.Tensor) -> Seed:
    """Derive another seed, different for every number."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64), alg="philox")


def uniform(seed: Seed, shape: Any = (), low: Any = 0.0, high: Any = 1.0) -> tf.Tensor:
    """Draw float32 uniform in [low, high)."""
    return tf.random.stateless_uniform(shape, seed, low, high, tf.float32, alg="philox")


def integers(seed: Seed, shape: Any, low: Any, high: Any) -> tf.Tensor:
    """Draw int32 uniform in low .. high - 1; bounds may be tensors."""
    low, high = tf.cast(low, tf.int32), tf.cast(high, tf.int32)
    return tf.random.stateless_uniform(shape, seed, low, high, tf.int32, alg="philox")


class Sampler:
    """Draws for one table, as TensorFlow ops.

    Args:
      table: the index.
      frames: frames t of a clip.
      min_reference_pixels: a reference frame should have more foreground pixels than this.
      reference_tries: frames tried for that.
      consistency_tries: clips tried until no later frame has an object that the reference lacks.
    """

    def __init__(
        self,
        table: SequenceTable,
        frames: int,
        min_reference_pixels: int = 200,
        reference_tries: int = 20,
        consistency_tries: int = 5,
    ):
        self.frames, self._min_pixels = frames, min_reference_pixels
        self._reference_tries, self._tries = reference_tries, consistency_tries
        self._places, self._first, self._length, self._peers_first, self._peers = (
            tf.constant(np.asarray(x))
            for x in (table.places, table.first, table.length, table.peers_first, table.peers)
        )
        self._max_gap, self._pixels, self._ids, self._record, self._binary = (
            tf.constant(np.asarray(x)) for x in (table.max_gap, table.pixels, table.ids, table.record, table.binary)
        )
        self.epoch_length = len(table.places)

    def place(self, seed: Seed, index: tf.Tensor) -> tf.Tensor:
        """Return the video of sample `index` (int64): every epoch visits each place once, in an order of its own."""
        epoch, place = index // self.epoch_length, index % self.epoch_length
        key = tf.random.stateless_uniform([2], fold(seed, epoch), None, None, tf.int32, alg="philox")
        # A pseudo-random permutation that is computed for one place alone, so that any sample is reached at once.
        place = tf.random.experimental.index_shuffle(place, key, tf.constant(self.epoch_length - 1, tf.int64))
        return tf.gather(self._places, place)

    def peer(self, seed: Seed, video: tf.Tensor) -> tf.Tensor:
        """Draw another video of the same dataset; the same one where there is no other (see `has_peer`)."""
        count, first = tf.gather(self._peers, video), tf.gather(self._peers_first, video)
        step = 1 + integers(seed, [], 0, tf.maximum(count - 1, 1))
        return first + (video - first + step) % count

    def has_peer(self, video: tf.Tensor) -> tf.Tensor:
        """Tell whether the dataset has a second video."""
        return tf.gather(self._peers, video) > 1

    def binary(self, video: tf.Tensor) -> tf.Tensor:
        """Tell whether 255 is the object in this video's masks."""
        return tf.gather(self._binary, video)

    def still(self, seed: Seed, video: tf.Tensor) -> tf.Tensor:
        """Draw one frame with foreground; returns its record (1,) int64."""
        frame = self._reference(seed, tf.gather(self._length, video), tf.gather(self._first, video), 1)
        return tf.gather(self._record, frame)

    def clip(self, seed: Seed, video: tf.Tensor) -> tf.Tensor:
        """Draw a clip; returns the records (t,) int64 of its frames, the reference first."""
        return tf.gather(self._record, self.clip_frames(seed, video))

    def clip_frames(self, seed: Seed, video: tf.Tensor) -> tf.Tensor:
        """Draw a clip; returns rows (t,) int32 of the table's frames."""
        length, first = tf.gather(self._length, video), tf.gather(self._first, video)
        reverse = uniform(fold(seed, 0)) < 0.5
        gaps = integers(fold(seed, 1), [self._tries, self.frames - 1], 1, tf.gather(self._max_gap, video) + 1)
        reference = self._reference(fold(seed, 2), length, first, self._tries) - first
        # Time runs from the reference; where the video is played backwards, so do the steps.
        steps = tf.cumsum(gaps, axis=1) * tf.where(reverse, -1, 1)
        frames = first + reflect(tf.concat([reference[:, None], reference[:, None] + steps], axis=1), length)
        ids = tf.gather(self._ids, frames)  # (tries, t, 4)
        seen = ids[:, 1]
        for t in range(2, self.frames):
            seen = tf.bitwise.bitwise_or(seen, ids[:, t])
        unknown = tf.bitwise.bitwise_and(seen, tf.bitwise.invert(ids[:, 0]))
        return tf.gather(frames, _first_true(tf.reduce_all(unknown == 0, axis=1)))

    def _reference(self, seed: Seed, length: tf.Tensor, first: tf.Tensor, count: int) -> tf.Tensor:
        """Draw `count` reference frames, each the first of its tries with enough foreground, else the last try."""
        tries = first + integers(seed, [count, self._reference_tries], 0, length)
        good = tf.gather(self._pixels, tries) > self._min_pixels
        return tf.gather(tries, _first_true(good), axis=1, batch_dims=1)


def reflect(position: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Fold positions (int32, any) into 0 .. length - 1 as between two mirrors at the ends."""
    last = tf.maximum(length - 1, 0)
    position = tf.math.floormod(position, tf.maximum(2 * last, 1))
    return tf.minimum(position, 2 * last - position)


def _first_true(good: tf.Tensor) -> tf.Tensor:
    """Return the index of the first true along the last axis, else the last index."""
    tries = good.shape[-1]
    order = tf.where(good, tf.range(tries), tries)
    return tf.minimum(tf.reduce_min(order, axis=-1), tries - 1)
