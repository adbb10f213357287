"""Export a video in the DAVIS layout, which `eval.py --data` and other tools read."""

from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder, write_text
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import write_mask
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame

RESOLUTION = "480p"  # folder name expected by tools, whatever the size


class DavisExport:
    """Writes `folder`/DAVIS/{JPEGImages,Annotations}/480p/NAME/ and ImageSets/2017/val.txt."""

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._root = folder / "DAVIS"
        self._source = source
        self._name = "_".join(source.name.split())  # sequence lists are split at blanks

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame (h, w, 3) uint8 and its labels (h, w) int32."""
        label = self._source.label(frame.index)
        write_jpeg(self._of("JPEGImages") / f"{label}.jpg", frame.pixels)
        write_mask(self._of("Annotations") / f"{label}.png", labels)

    def _of(self, kind: str) -> Path:
        return self._root / kind / RESOLUTION / self._name

    def __enter__(self) -> "DavisExport":
        empty_folder(self._of("JPEGImages"), "*.jpg")
        empty_folder(self._of("Annotations"), "*.png")
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            write_text(self._root / "ImageSets" / "2017" / "val.txt", f"{self._name}\n")
