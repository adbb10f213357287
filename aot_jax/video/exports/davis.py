"""Export a video in the DAVIS layout, which `eval.py --data` and other tools read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder, write_text
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import write_mask
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame

RESOLUTION = "480p"  # folder name expected by tools, whatever the size


@contextmanager
def export_davis(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/DAVIS/{JPEGImages,Annotations}/480p/NAME/ and ImageSets/2017/val.txt."""
    root, name = folder / "DAVIS", "_".join(source.name.split())  # sequence lists are split at blanks
    images, masks = (root / kind / RESOLUTION / name for kind in ("JPEGImages", "Annotations"))
    empty_folder(images, "*.jpg")
    empty_folder(masks, "*.png")

    def write(frame: Frame, labels: np.ndarray) -> None:
        label = source.label(frame.index)
        write_jpeg(images / f"{label}.jpg", frame.pixels)
        write_mask(masks / f"{label}.png", labels)

    yield write
    write_text(root / "ImageSets" / "2017" / "val.txt", f"{name}\n")
