"""Export masks as black-and-white PNGs, one folder per object."""

from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder
from aot_jax.io.images import write_image
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame


class BinaryExport:
    """Writes `folder`/binary/ID/FRAME.png: grey, 255 on the object and 0 elsewhere."""

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._folder = folder / "binary"
        self._source = source
        self._ids = ids

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write the labels (h, w) int32 of a frame."""
        name = f"{self._source.label(frame.index)}.png"
        for i in self._ids:
            write_image(self._folder / str(i) / name, (labels == i).astype(np.uint8) * 255)

    def __enter__(self) -> "BinaryExport":
        for i in self._ids:
            empty_folder(self._folder / str(i), "*.png")
        return self

    def __exit__(self, *_: object) -> None:
        pass
