"""Export for video editors: a black-and-white matte of all objects, and the objects on a transparent background."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from aot_jax.io.files import empty_folder
from aot_jax.io.images import write_image
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.io.video_writer import PRORES_ALPHA, VP9_ALPHA, VideoWriter

MARGIN = 8  # width of the band around objects that keeps its colour, in pixels; else black would bleed into their edges


@contextmanager
def export_mattes(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/mattes/matte.mp4 (white on black) and cutout.webm (VP9 with alpha), and both as PNGs.

    The PNGs are matte/LABEL.png, grey 0 or 255, and cutout/LABEL.png, RGBA.
    """
    folder, rate, aspect = folder / "mattes", source.rate, source.pixel_aspect
    for kind in ("matte", "cutout"):
        empty_folder(folder / kind, "*.png")
    with (
        VideoWriter(folder / "matte.mp4", rate, aspect) as mattes,
        VideoWriter(folder / "cutout.webm", rate, aspect, encoding=VP9_ALPHA) as cutouts,
    ):

        def write(frame: Frame, labels: np.ndarray) -> None:
            matte, name = matte_of(labels), f"{source.label(frame.index)}.png"
            write_image(folder / "matte" / name, matte)
            write_image(folder / "cutout" / name, with_alpha(frame.pixels, matte, 0), compress_level=3)
            mattes.write(np.stack([matte] * 3, axis=-1), frame.time, frame.duration)
            cutouts.write(with_alpha(frame.pixels, matte, MARGIN), frame.time, frame.duration)

        yield write


@contextmanager
def export_prores(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/mattes/cutout.mov: the objects, as ProRes 4444 with alpha."""
    path = folder / "mattes" / "cutout.mov"
    with VideoWriter(path, source.rate, source.pixel_aspect, encoding=PRORES_ALPHA) as cutouts:
        yield lambda frame, labels: cutouts.write(
            with_alpha(frame.pixels, matte_of(labels), MARGIN), frame.time, frame.duration
        )


def matte_of(labels: np.ndarray) -> np.ndarray:
    """Return the matte of labels (h, w): uint8, 255 on objects and 0 elsewhere."""
    return (labels != 0).astype(np.uint8) * 255


def with_alpha(pixels: np.ndarray, matte: np.ndarray, margin: int) -> np.ndarray:
    """Return pixels (h, w, 3) with the matte (h, w) as alpha: (h, w, 4) uint8, black farther than `margin` from it."""
    near = cv2.dilate(matte, np.ones((2 * margin + 1,) * 2, np.uint8)) if margin else matte
    return np.concatenate([np.where(near[..., None] > 0, pixels, 0), matte[..., None]], axis=-1).astype(np.uint8)
