"""Read single mask files, and write ids as palette PNGs with the DAVIS colours.

A mask is an array of ids: 0 background, 255 void if the data set uses it, any other value an object. Read the masks of
a video together with `aot_jax.read_masks`, which decides what their values mean.
"""

import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.images import PNG, write_image
from aot_jax.io.mask_sets.meaning import decide
from aot_jax.io.mask_sets.stored import CLEAR, DAVIS_PALETTE, MaskError, check_size, read_image
from aot_jax.io.mask_sets.survey import NOT_A_MASK, survey_mask
from aot_jax.typing import Size

__all__ = ["DAVIS_PALETTE", "MaskError", "binarise", "object_ids", "read_mask", "write_mask"]


def read_mask(path: str | Path, size: Size | None = None) -> np.ndarray:
    """Read a single PNG as object ids, as written by `write_mask`.

    Palette indices, 16-bit values and grey levels are ids; but if grey 0 and 255 are the only values, they become 0 and
    1. Colours and transparency are read as in `aot_jax.read_masks`.

    Args:
        path: the PNG.
        size: (h, w) that it must have; None accepts any.

    Returns:
        (h, w) int32, ids >= 0.

    Raises:
        MaskError: the file is missing, not a PNG, broken, too large, of another size, or not a mask of ids (antialiased
            edges, a picture). No other exception is raised.

    Example:
        >>> Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save("drawn.png")
        >>> read_mask("drawn.png")  # black and white
        array([[0, 1],
               [1, 0]], dtype=int32)
        >>> read_mask("drawn.png", size=(480, 854))
        Traceback (most recent call last):
        aot_jax.io.mask_sets.stored.MaskError: drawn.png: the mask is 2x2, but 854x480 (width x height) is needed; ...
    """
    stored = read_image(path, kinds=PNG)
    check_size(stored.size, size, path)
    survey = survey_mask(stored, str(path))
    if survey.flat:
        raise MaskError(f"{path}: {len(survey.counts)} values, and edges that are blends: it {NOT_A_MASK}")
    if stored.kind == "colour" or CLEAR in survey.counts:
        return decide([survey]).ids(stored, survey, str(path))
    if stored.kind == "grey" and survey.holds_white_alone():
        return binarise(stored.values)
    return stored.values


def write_mask(path: str | Path, mask: np.ndarray, palette: np.ndarray = DAVIS_PALETTE) -> None:
    """Write ids as a palette PNG; with ids above 255, as a 16-bit grey PNG.

    The write is atomic. Missing folders are made.

    Args:
        path: ends in `.png`.
        mask: (h, w) integers or booleans, 0 <= id <= 65535.
        palette: (n, 3) uint8 colours, n <= 256; not used for ids above 255.

    Raises:
        MaskError: the array is not such a mask, or the name does not end in .png.
        OSError: the file cannot be written; the error names the file.

    Example:
        >>> write_mask("out/00000.png", np.array([[0, 1], [7, 7]]))
        >>> read_mask("out/00000.png").tolist()
        [[0, 1], [7, 7]]
    """
    path, mask = Path(path), np.asarray(mask)
    if path.suffix.lower() != ".png":
        raise MaskError(f"{path}: masks are written as PNG; give a name that ends in .png")
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "biu":
        raise MaskError(f"{path}: a mask is an integer array (h, w), not {mask.dtype} of shape {mask.shape}")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high > 65535:
        raise MaskError(f"{path}: id {low if low < 0 else high} does not fit in 0..65535; renumber the ids")
    if high > 255:
        image = Image.fromarray(mask.astype(np.uint16))
    else:
        image = Image.fromarray(mask.astype(np.uint8))
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    write_image(path, image, compress_type=zlib.Z_RLE)  # as small as by default, in half the time


def object_ids(mask: np.ndarray) -> list[int]:
    """List the ids above 0 in a mask, ascending.

    Example:
        >>> object_ids(np.array([[0, 300], [2, 2]]))
        [2, 300]
    """
    countable = mask.dtype.kind in "iu" and mask.size and mask.min() >= 0 and mask.max() <= 65535
    ids = np.flatnonzero(np.bincount(mask.ravel())) if countable else np.unique(mask)  # bincount is six times as fast
    return [int(i) for i in ids if i > 0]


def binarise(mask: np.ndarray) -> np.ndarray:
    """Merge all objects into one: ids above 0 become 1. Returns int32 of the same shape.

    Example:
        >>> binarise([0, 5, 2])
        array([0, 1, 1], dtype=int32)
    """
    return (np.asarray(mask) > 0).astype(np.int32)
