"""Export masks as COCO instances: one JSON file with compressed RLE and a `track_id` per object."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.mask import area, encode, toBbox

from aot_jax.io.files import atomic_write, empty_folder
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import object_ids
from aot_jax.io.sources import ImageSource, Source
from aot_jax.io.video_reader import Frame

IMAGES = "coco_images"  # folder for the frames of a video file


@contextmanager
def export_coco(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/coco.json, annotation by annotation, so that memory does not grow with the video.

    Every object is a category, numbered by its id. Images are listed by their file names; frames of a video file are
    written to coco_images/LABEL.jpg.
    """
    images: list[dict[str, Any]] = []
    numbers = count(1)
    if not isinstance(source, ImageSource):
        empty_folder(folder / IMAGES, "*.jpg")
    with atomic_write(folder / "coco.json") as temporary, temporary.open("w", encoding="utf-8") as stream:

        def write(frame: Frame, labels: np.ndarray) -> None:
            height, width = labels.shape
            image = {"id": frame.index + 1, "file_name": _file_name(folder, source, frame)}
            images.append(image | {"height": height, "width": width, "frame_id": frame.index})
            for i in object_ids(labels):
                runs, number = encode(np.asfortranarray(labels == i, np.uint8)), next(numbers)
                annotation = {
                    "id": number,
                    "image_id": frame.index + 1,
                    "category_id": i,
                    "track_id": i,
                    "segmentation": runs | {"counts": runs["counts"].decode()},
                    "area": int(area(runs)),
                    "bbox": [int(value) for value in toBbox(runs)],
                    "iscrowd": 0,
                }
                stream.write((",\n" if number > 1 else "\n") + json.dumps(annotation))

        stream.write('{"annotations": [')
        yield write
        stream.write('\n],\n"images": [')
        stream.write(",\n".join(map(json.dumps, images)))
        categories = [{"id": i, "name": f"object {i}", "supercategory": "object"} for i in ids]
        stream.write('\n],\n"categories": ' + json.dumps(categories))
        stream.write(',\n"info": ' + json.dumps({"description": source.name}) + "}\n")


def _file_name(folder: Path, source: Source, frame: Frame) -> str:
    """Return the file of a frame, written first if the video is a file."""
    if isinstance(source, ImageSource):
        return os.fsencode(source.paths[frame.index].name).decode("utf-8", "replace")  # in any locale
    name = f"{IMAGES}/{source.label(frame.index)}.jpg"
    write_jpeg(folder / name, frame.pixels)
    return name
