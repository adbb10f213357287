"""Masks of a video in the formats of other tools. Each export is a context that takes frame after frame."""

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
    """Writes one format."""

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Take a frame with its labels (h, w) int32, of one size, in order."""

    def __enter__(self) -> "Export":
        """Begin."""

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Finish, if nothing was raised."""


EXPORTS: dict[str, Callable[[Path, Source, tuple[int, ...]], Export]] = {
    "binary": BinaryExport,
    "coco": CocoExport,
    "davis": DavisExport,
    "mattes": MattesExport,
    "prores": ProresExport,
    "yolo": YoloExport,
}


def open_export(name: str, folder: Path, source: Source, ids: tuple[int, ...]) -> Export:
    """Make the export `name` of a video into `folder`; `ids` are all its objects."""
    return EXPORTS[name](folder, source, ids)
