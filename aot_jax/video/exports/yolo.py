"""Export masks as YOLO segmentation labels: one text file per frame, polygons with coordinates in [0, 1]."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder, write_text
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import object_ids
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.video.exports.polygons import outlines


@contextmanager
def export_yolo(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/yolo/{images,labels}/ and data.yaml.

    A line is `class x1 y1 x2 y2 ...`, one for each connected part of an object. Classes are the objects sorted by id.
    Holes are filled, since the format cannot represent them; frames without objects have an empty file.
    """
    folder, classes = folder / "yolo", {i: number for number, i in enumerate(ids)}
    empty_folder(folder / "images", "*.jpg")
    empty_folder(folder / "labels", "*.txt")

    def write(frame: Frame, labels: np.ndarray) -> None:
        size = np.array(labels.shape[::-1])
        lines = [
            f"{classes[i]} " + " ".join(f"{x:.6g} {y:.6g}" for x, y in outline / size) + "\n"
            for i in object_ids(labels)
            for outline in outlines(labels == i)
        ]
        label = source.label(frame.index)
        write_text(folder / "labels" / f"{label}.txt", "".join(lines))
        write_jpeg(folder / "images" / f"{label}.jpg", frame.pixels)

    yield write
    names = "".join(f"  {number}: object {i}\n" for i, number in classes.items())
    # Without `path`, folders are relative to this file, so that the export can be moved.
    write_text(folder / "data.yaml", f"train: images\nval: images\nnames:\n{names}")
