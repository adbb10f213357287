"""Masks of a video in the formats of other tools. Each export is a context that takes frame after frame."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from aot_jax.io.sources import Source
from aot_jax.video.exports.coco import CocoExport
from aot_jax.video.exports.davis import DavisExport
from aot_jax.video.exports.yolo import YoloExport


class Export(Protocol):
    """Writes one format."""

    def add(self, index: int, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Take a frame (h, w, 3) uint8 with its labels (h, w) int32, in order."""

    def __enter__(self) -> "Export":
        """Begin."""

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Finish, if nothing was raised."""


EXPORTS: dict[str, Callable[[Path, Source, tuple[int, ...]], Export]] = {
    "coco": CocoExport,
    "yolo": YoloExport,
    "davis": DavisExport,
}


def open_export(name: str, folder: Path, source: Source, ids: tuple[int, ...]) -> Export:
    """Make the export `name` of a video into `folder`; `ids` are all its objects."""
    return EXPORTS[name](folder, source, ids)
