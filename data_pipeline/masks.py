"""Encode masks and images for training: masks as grey PNGs of ids, images as upright JPEG or PNG."""

import io

import numpy as np
from PIL import Image

from aot_jax.io.datasets import DataError
from aot_jax.io.frames import FrameError, read_frame
from aot_jax.io.images import IMAGES, JPEG_OR_PNG, count_pictures, explain_errors, open_image, orientation
from aot_jax.typing import VOID


def encode_ids(ids: np.ndarray, name: str) -> bytes:
    """Encode ids (h, w), 255 void, as an 8-bit grey PNG.

    Raises:
      DataError: an id above 255.
    """
    if ids.max() > VOID:
        raise DataError(
            f"{name}: ids from {ids.min()} to {ids.max()}; training takes 0 .. 254, and 255 for void: renumber them"
        )
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def count_pixels(ids: np.ndarray) -> dict[int, int]:
    """Count the pixels of each id of (h, w) uint8 except background; 255 (void) is included."""
    counts = np.bincount(ids.reshape(-1), minlength=256)
    return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if i}


def encode_image(data: bytes, name: str) -> tuple[tuple[int, int], bytes]:
    """Check an image; re-encode it if OpenCV would decode it differently from `read_frame`.

    Args:
      data: contents of the file.
      name: the file's name in errors.

    Returns:
      (height, width) and the bytes of a JPEG or PNG: `data` itself, unless EXIF rotates it, it is CMYK, or it has
      another format.

    Raises:
      DataError: the file cannot be decoded.
    """
    with explain_errors(name, DataError):
        image, head = open_image(io.BytesIO(data), name, IMAGES, DataError)
        width, height = image.size
        if head.startswith(tuple(JPEG_OR_PNG)) and count_pictures(image) == 1:
            image.draft("RGB", (max(1, width // 8), max(1, height // 8)))  # reads all bytes, decodes few pixels
            image.load()
            if orientation(image) == 1 and image.mode != "CMYK":
                return (height, width), data
    try:
        pixels = read_frame(name, data)
    except FrameError as error:
        raise DataError(str(error)) from None
    buffer = io.BytesIO()
    if image.format == "JPEG":
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        Image.fromarray(pixels).save(buffer, "PNG")
    return (pixels.shape[0], pixels.shape[1]), buffer.getvalue()
