"""Export the masks of a video to formats of other tools, frame by frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.video.exports.binary import BinaryExport
from aot_jax.video.exports.coco import CocoExport
from aot_jax.video.exports.davis import DavisExport
from aot_jax.video.exports.mattes import MattesExport, ProresExport
from aot_jax.video.exports.yolo import YoloExport


class Export(Protocol):
    """Context manager that writes one format."""

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame and its labels (h, w) int32; in order, all of one size."""

    def __enter__(self) -> "Export":
        """Open the outputs."""

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Finish the outputs, unless an exception was raised."""


EXPORTS: dict[str, Callable[[Path, Source, tuple[int, ...]], Export]] = {
    "binary": BinaryExport,
    "coco": CocoExport,
    "davis": DavisExport,
    "mattes": MattesExport,
    "prores": ProresExport,
    "yolo": YoloExport,
}


def open_export(name: str, folder: Path, source: Source, ids: tuple[int, ...]) -> Export:
    """Return the export `name` of a video to `folder`; `ids` are the ids of all objects."""
    return EXPORTS[name](folder, source, ids)
