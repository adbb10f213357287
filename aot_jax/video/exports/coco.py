"""Export masks as COCO instances: one JSON file with compressed RLE and a `track_id` per object."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pycocotools.mask import area, encode, toBbox

from aot_jax.io.files import atomic_write, empty_folder
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import object_ids
from aot_jax.io.sources import ImageSource, Source
from aot_jax.io.video_reader import Frame

IMAGES = "coco_images"  # folder for the frames of a video file


class CocoExport:
    """Writes `folder`/coco.json, annotation by annotation, so that memory does not grow with the video.

    Every object is a category, numbered by its id. Images are listed by their file names; frames of a video file are
    written to coco_images/LABEL.jpg.
    """

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._path = folder / "coco.json"
        self._stack = ExitStack()
        self._source = source
        self._ids = ids
        self._stream: TextIO  # from __enter__ on
        self._images: list[dict[str, Any]] = []
        self._count = 0

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame (h, w, 3) uint8 and its labels (h, w) int32."""
        self._images.append(
            {
                "id": frame.index + 1,
                "file_name": self._file_name(frame),
                "height": labels.shape[0],
                "width": labels.shape[1],
                "frame_id": frame.index,
            }
        )
        for i in object_ids(labels):
            runs = encode(np.asfortranarray(labels == i, np.uint8))
            self._stream.write(",\n" if self._count else "\n")
            self._count += 1
            annotation = {
                "id": self._count,
                "image_id": frame.index + 1,
                "category_id": i,
                "track_id": i,
                "segmentation": runs | {"counts": runs["counts"].decode()},
                "area": int(area(runs)),
                "bbox": [int(value) for value in toBbox(runs)],
                "iscrowd": 0,
            }
            json.dump(annotation, self._stream)

    def _file_name(self, frame: Frame) -> str:
        if isinstance(self._source, ImageSource):
            return os.fsencode(self._source.paths[frame.index].name).decode("utf-8", "replace")  # in any locale
        name = f"{IMAGES}/{self._source.label(frame.index)}.jpg"
        write_jpeg(self._path.parent / name, frame.pixels)
        return name

    def __enter__(self) -> "CocoExport":
        if not isinstance(self._source, ImageSource):
            empty_folder(self._path.parent / IMAGES, "*.jpg")
        temporary = self._stack.enter_context(atomic_write(self._path))
        self._stream = self._stack.enter_context(temporary.open("w", encoding="utf-8"))
        self._stack.push(self._finish)
        self._stream.write('{"annotations": [')
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

    def _finish(self, kind: type | None, *_: object) -> None:
        if kind is not None:
            return
        self._stream.write('\n],\n"images": [')
        self._stream.write(",\n".join(map(json.dumps, self._images)))
        categories = [{"id": i, "name": f"object {i}", "supercategory": "object"} for i in self._ids]
        self._stream.write('\n],\n"categories": ' + json.dumps(categories))
        self._stream.write(',\n"info": ' + json.dumps({"description": self._source.name}) + "}\n")
