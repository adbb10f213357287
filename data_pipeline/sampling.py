"""Choose the frames of a clip from the index, without reading an image."""

import functools

import numpy as np
from ml_collections import ConfigDict

from data_pipeline.sequences import SequenceTable


def generator(seed: int, stream: int, number: int) -> np.random.Generator:
    """Return a random generator: the same for the same arguments, independent for different ones.

    Args:
      seed: the run's random seed.
      stream: what the numbers are for: 0 the order of an epoch, 1 a sample.
      number: index of the sample or epoch.
    """
    return np.random.Generator(np.random.Philox(key=[seed % 2**64, stream], counter=[0, 0, 0, number]))


class Sampler:
    """Draws videos, clips and still frames from a table.

    Args:
      table: index of the frames.
      seed: seed of the order of samples.
      data: `config.data`.
    """

    def __init__(self, table: SequenceTable, seed: int, data: ConfigDict):
        self.table, self.frames, self._min_pixels = table, data.frames, data.min_reference_pixels
        self._reference_tries, self._tries = data.reference_tries, data.consistency_tries
        self.epoch_length = len(table.places)
        # Cache of a few epochs' orders: a batch may span two epochs, and threads run ahead.
        self._order = functools.lru_cache(maxsize=4)(
            lambda epoch: generator(seed, 0, epoch).permutation(self.epoch_length)
        )

    def place(self, index: int) -> int:
        """Return the video of sample `index`: each epoch visits every place once, in a new order."""
        epoch, place = divmod(index, self.epoch_length)
        return int(self.table.places[self._order(epoch)[place]])

    def peer(self, random: np.random.Generator, video: int) -> int:
        """Draw another video of the same dataset; `video` itself if there is no other (see `has_peer`)."""
        count, first = int(self.table.peers[video]), int(self.table.peers_first[video])
        step = 1 + int(random.integers(max(count - 1, 1)))
        return first + (video - first + step) % count

    def has_peer(self, video: int) -> bool:
        """Tell whether the dataset has a second video."""
        return bool(self.table.peers[video] > 1)

    def still(self, random: np.random.Generator, video: int) -> np.ndarray:
        """Draw one frame with enough foreground; returns its record number (1,) int64."""
        return self.table.record[self._references(random, video, 1)]

    def clip(self, random: np.random.Generator, video: int) -> np.ndarray:
        """Draw a clip; returns the record numbers (t,) int64 of its frames, the reference first."""
        return self.table.record[self.clip_frames(random, video)]

    def clip_frames(self, random: np.random.Generator, video: int) -> np.ndarray:
        """Draw a clip; returns the indices (t,) of its frames in the table, the reference first."""
        first = self.table.first[video]
        gaps = random.integers(1, self.table.max_gap[video] + 1, (self._tries, self.frames - 1))
        # Half of the clips are played backwards.
        steps = np.cumsum(gaps, axis=1) * (-1 if random.random() < 0.5 else 1)
        reference = self._references(random, video, self._tries)[:, None] - first
        frames = first + reflect(np.concatenate([reference, reference + steps], axis=1), self.table.length[video])
        ids = self.table.ids[frames]  # (tries, t, 4)
        unknown = np.bitwise_or.reduce(ids[:, 1:], axis=1) & ~ids[:, 0]
        return frames[_first_true((unknown == 0).all(axis=1))]

    def _references(self, random: np.random.Generator, video: int, count: int) -> np.ndarray:
        """Draw `count` reference frames, each the first try with enough foreground, else the last try."""
        tries = self.table.first[video] + random.integers(self.table.length[video], size=(count, self._reference_tries))
        return tries[np.arange(count), _first_true(self.table.pixels[tries] > self._min_pixels)]


def reflect(position: np.ndarray, length: int) -> np.ndarray:
    """Reflect integer positions at the ends into 0 .. length - 1."""
    last = max(int(length) - 1, 0)
    position = position % max(2 * last, 1)
    return np.minimum(position, 2 * last - position)


def _first_true(good: np.ndarray) -> np.ndarray:
    """Return the index of the first true along the last axis, else the last index."""
    return np.where(good.any(axis=-1), good.argmax(axis=-1), good.shape[-1] - 1)
