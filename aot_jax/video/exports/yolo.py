"""Export masks as YOLO segmentation labels: one text file per frame, polygons with coordinates in [0, 1]."""

from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder, write_text
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import object_ids
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.video.exports.polygons import outlines


class YoloExport:
    """Writes `folder`/yolo/{images,labels}/ and data.yaml.

    A line is `class x1 y1 x2 y2 ...`, one for each connected part of an object. Classes are the objects sorted by id.
    Holes are filled, since the format cannot represent them; frames without objects have an empty file.
    """

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._folder = folder / "yolo"
        self._source = source
        self._classes = {i: number for number, i in enumerate(ids)}

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame (h, w, 3) uint8 and its labels (h, w) int32."""
        size = np.array(labels.shape[::-1])
        lines = [
            f"{self._classes[i]} " + " ".join(f"{x:.6g} {y:.6g}" for x, y in outline / size)
            for i in object_ids(labels)
            for outline in outlines(labels == i)
        ]
        label = self._source.label(frame.index)
        write_text(self._folder / "labels" / f"{label}.txt", "".join(f"{line}\n" for line in lines))
        write_jpeg(self._folder / "images" / f"{label}.jpg", frame.pixels)

    def __enter__(self) -> "YoloExport":
        empty_folder(self._folder / "images", "*.jpg")
        empty_folder(self._folder / "labels", "*.txt")
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is None:
            names = "".join(f"  {number}: object {i}\n" for i, number in self._classes.items())
            # Without `path`, folders are relative to this file, so that the export can be moved.
            write_text(self._folder / "data.yaml", f"train: images\nval: images\nnames:\n{names}")
