"""Folders of video frames: which files they hold, in what order, and their pixels as RGB arrays."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.images import (
    IMAGE_SUFFIXES,
    IMAGES,
    JPEG_OR_PNG,
    MAX_PIXELS,
    PNG,
    decode_image,
    explain_errors,
    open_image,
)

__all__ = ["JPEG_OR_PNG", "MAX_PIXELS", "PNG", "decode_image", "explain_errors", "open_image"]  # moved to images.py
FRAME_SUFFIXES = IMAGE_SUFFIXES


class FrameError(ValueError):
    """Says which frame or folder of frames cannot be used, why, and what to do."""


def list_frames(folder: str | Path, suffixes: Iterable[str] = FRAME_SUFFIXES) -> list[Path]:
    """List the images of a folder in the order of the video.

    Args:
        folder: its images only; folders inside it and hidden files (`._00000.jpg` of macOS) are left out.
        suffixes: endings that count as an image, with the dot, in any case.

    Returns:
        Paths sorted by name, where a run of digits counts as a number: `2.jpg` and `frame_2.jpg` come before
        `10.jpg` and `frame_10.jpg`. For names padded with zeros this is plain name order.

    Raises:
        FrameError: the folder is missing or holds no such image, or two images differ in their suffix only.

    Example:
        >>> for name in ("10.jpg", "9.jpg", "notes.txt"):
        ...     _ = Path(name).write_bytes(b"")
        >>> [path.name for path in list_frames(".")]
        ['9.jpg', '10.jpg']
    """
    folder = Path(folder)
    endings = tuple(suffix.lower() for suffix in suffixes)
    if not folder.is_dir():
        raise FrameError(f"{folder}: not a folder; give one that holds {' '.join(endings)} images")
    frames = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    ]
    if not frames:
        raise FrameError(f"{folder}: no {' '.join(endings)} image in it; give the folder that holds the images")
    return order_frames(frames)


def order_frames(frames: Iterable[Path]) -> list[Path]:
    """Sort images by name as `list_frames` does.

    Raises:
        FrameError: two of them differ in their folder or suffix only.
    """
    frames = sorted(frames, key=lambda path: (natural(path.stem), path.name))
    by_stem: dict[str, Path] = {}
    for path in frames:
        first = by_stem.setdefault(path.stem, path)
        if first is not path:
            names = (first.name, path.name) if first.parent == path.parent else (first, path)
            raise FrameError(f"{path.parent}: {names[0]} and {names[1]} would be one frame twice; remove one of them")
    return frames


def read_frame(path: str | Path) -> np.ndarray:
    """Read an image (JPEG, PNG, WebP, BMP, TIFF) as RGB.

    It is turned upright as its EXIF orientation says. Grey, palette and CMYK become RGB, transparency is dropped, and
    16-bit samples keep their high byte.

    Args:
        path: the image.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        FrameError: no such file, not such an image, several in one file, broken or truncated, or more than
            `MAX_PIXELS`.

    Example:
        >>> write_jpeg("0.jpg", np.full((4, 6, 3), 100, np.uint8))
        >>> read_frame("0.jpg").shape
        (4, 6, 3)
        >>> read_frame("1.jpg")
        Traceback (most recent call last):
        aot_jax.io.frames.FrameError: 1.jpg: no such file; check the path
    """
    image, _ = decode_image(path, IMAGES, FrameError)
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255 instead of scaling it
        grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    image.info.pop("transparency", None)  # dropped anyway, but Pillow warns about it
    return np.array(image.convert("RGB"))


def write_jpeg(path: str | Path, pixels: np.ndarray) -> None:
    """Write a frame (h, w, 3) uint8 RGB as a JPEG of high quality.

    Raises:
        OSError: if it cannot be written.
    """
    Image.fromarray(pixels).save(path, "JPEG", quality=95, subsampling=0)


def natural(name: str) -> list[str | int]:
    """Split a name into text and numbers, alternating, so that names compare number by number."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]
