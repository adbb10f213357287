"""Export masks as COCO instances: one JSON with compressed run lengths, `track_id` telling objects over time."""

import json
from pathlib import Path
from typing import TextIO

import numpy as np

from aot_jax.io.files import beside
from aot_jax.io.sources import Source
from aot_jax.video.exports.rle import encode


class CocoExport:
    """Writes `folder`/coco.json annotation by annotation, so that a long video takes no memory.

    Every object is a category of its own, numbered by its id. Image files are named like the masks, as `LABEL.jpg`.
    """

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._path = folder / "coco.json"
        self._temporary = beside(self._path)
        self._source = source
        self._ids = ids
        self._stream: TextIO  # from __enter__ on
        self._images: list[tuple[int, int, int]] = []  # index, height, width
        self._count = 0

    def add(self, index: int, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Take a frame's labels (h, w) int32."""
        self._images.append((index, *labels.shape))
        for i in np.unique(labels[labels != 0]).tolist():
            mask = labels == i
            ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            box = [int(xs[0]), int(ys[0]), int(xs[-1] - xs[0] + 1), int(ys[-1] - ys[0] + 1)]
            self._stream.write(",\n" if self._count else "\n")
            self._count += 1
            annotation = {
                "id": self._count,
                "image_id": index + 1,
                "category_id": i,
                "track_id": i,
                "segmentation": encode(mask),
                "area": int(mask.sum()),
                "bbox": box,
                "iscrowd": 0,
            }
            json.dump(annotation, self._stream)

    def __enter__(self) -> "CocoExport":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._temporary.open("w")
        self._stream.write('{"annotations": [')
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            with self._stream:
                if kind is None:
                    self._finish()
            if kind is None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._stream.write('\n],\n"images": [')
        for position, (index, height, width) in enumerate(self._images):
            image = {
                "id": index + 1,
                "file_name": f"{self._source.label(index)}.jpg",
                "height": height,
                "width": width,
                "frame_id": index,
            }
            self._stream.write((",\n" if position else "\n") + json.dumps(image))
        categories = [{"id": i, "name": f"object {i}", "supercategory": "object"} for i in self._ids]
        self._stream.write('\n],\n"categories": ' + json.dumps(categories))
        self._stream.write(',\n"info": ' + json.dumps({"description": self._source.name}) + "}\n")
