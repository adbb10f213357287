"""Export for video editors: a black-and-white matte of all objects, and the objects on a transparent background."""

from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from aot_jax.io.files import empty_folder
from aot_jax.io.images import write_image
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.io.video_writer import PRORES_ALPHA, VP9_ALPHA, VideoWriter

MARGIN = 8  # width of the band around objects that keeps its colour, in pixels; else black would bleed into their edges


class MattesExport:
    """Writes `folder`/mattes/matte.mp4 (white on black) and cutout.webm (VP9 with alpha), and both as PNGs.

    The PNGs are matte/LABEL.png, grey 0 or 255, and cutout/LABEL.png, RGBA.
    """

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        self._folder = folder / "mattes"
        self._source = source
        rate, aspect = source.rate, source.pixel_aspect
        self._matte = VideoWriter(self._folder / "matte.mp4", rate, aspect)
        self._cutout = VideoWriter(self._folder / "cutout.webm", rate, aspect, encoding=VP9_ALPHA)
        self._stack = ExitStack()

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame (h, w, 3) uint8 and its labels (h, w) int32."""
        matte = (labels != 0).astype(np.uint8) * 255
        name = f"{self._source.label(frame.index)}.png"
        write_image(self._folder / "matte" / name, matte)
        write_image(self._folder / "cutout" / name, with_alpha(frame.pixels, matte, 0), compress_level=3)
        self._matte.write(np.stack([matte] * 3, axis=-1), frame.time, frame.duration)
        self._cutout.write(with_alpha(frame.pixels, matte, MARGIN), frame.time, frame.duration)

    def __enter__(self) -> "MattesExport":
        for kind in ("matte", "cutout"):
            empty_folder(self._folder / kind, "*.png")
        for writer in (self._matte, self._cutout):
            self._stack.enter_context(writer)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.__exit__(*raised)  # type: ignore[arg-type]


class ProresExport:
    """Writes `folder`/mattes/cutout.mov: the objects, as ProRes 4444 with alpha."""

    def __init__(self, folder: Path, source: Source, ids: tuple[int, ...]) -> None:
        path = folder / "mattes" / "cutout.mov"
        self._writer = VideoWriter(path, source.rate, source.pixel_aspect, encoding=PRORES_ALPHA)

    def add(self, frame: Frame, labels: np.ndarray) -> None:
        """Write a frame (h, w, 3) uint8 and its labels (h, w) int32."""
        matte = (labels != 0).astype(np.uint8) * 255
        self._writer.write(with_alpha(frame.pixels, matte, MARGIN), frame.time, frame.duration)

    def __enter__(self) -> "ProresExport":
        self._writer.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._writer.__exit__(*raised)


def with_alpha(pixels: np.ndarray, matte: np.ndarray, margin: int) -> np.ndarray:
    """Return pixels (h, w, 3) with the matte (h, w) as alpha: (h, w, 4) uint8, black farther than `margin` from it."""
    near = cv2.dilate(matte, np.ones((2 * margin + 1,) * 2, np.uint8)) if margin else matte
    return np.concatenate([np.where(near[..., None] > 0, pixels, 0), matte[..., None]], axis=-1).astype(np.uint8)
