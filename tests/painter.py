"""A tracker without a network for tests of track.py, and helpers that run the command."""

import numpy as np

from aot_jax.commands import track as script
from aot_jax.io.masks import read_mask

SIZE = (32, 48)


COUNT = 6


class Painter:
    """Tracker without a network; returns the last given mask."""

    depth = 1
    during = staticmethod(lambda frame: None)

    def __init__(self, *_, **options):
        self.options = options

    def reset(self):
        self.labels = None

    def step(self, frame, mask=None):
        self.during(frame)
        self.labels = self.labels if mask is None else mask
        return self.labels

    def stream(self, frames):
        return (self.step(frame, mask) for frame, mask in frames)

    def save_state(self, path):
        np.save(path.with_name(path.name + ".npy"), self.labels)
        path.with_name(path.name + ".npy").rename(path)

    def load_state(self, path):
        with path.open("rb") as stream:
            self.labels = np.load(stream)


def run(video, output, *flags):
    return script.main([str(video), "--output", str(output), "--quiet", *map(str, flags)])


def upright_masks(folder):
    return [read_mask(path) for path in sorted((folder / "masks").iterdir())]
