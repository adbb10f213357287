"""Convert polygons and run lengths to masks.

Libraries are not exact enough: pycocotools leaves pixels undefined if run lengths are too short, and OpenCV fills
pixels that an outline only touches.
"""

import math
from collections.abc import Sequence

import numpy as np

from aot_jax.io.images import MAX_PIXELS
from aot_jax.typing import Size


def fill(polygons: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """Fill polygons by the even-odd rule at pixel centres; return the union of all.

    Args:
        polygons: corners (n, 2) x, y in pixels; 0, 0 is the upper left corner of the first pixel.
        size: (h, w).

    Returns:
        (h, w) bool.

    Raises:
        ValueError: a coordinate is not finite.
    """
    inside = np.zeros(size, bool)
    for polygon in polygons:
        if not np.isfinite(polygon).all():
            raise ValueError("its corners are no numbers")
        left, top = (max(0, math.floor(value)) for value in polygon.min(0))
        right, bottom = (min(limit, math.ceil(value)) for limit, value in zip(size[::-1], polygon.max(0), strict=True))
        if left >= right or top >= bottom:
            continue
        crossings = np.zeros((bottom - top, right - left + 1), np.int32)
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            rows = np.arange(max(top, math.ceil(y0 - 0.5)), min(bottom, math.ceil(y1 - 0.5)))
            if rows.size:
                x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                np.add.at(crossings, (rows - top, np.clip(np.ceil(x - 0.5), left, right).astype(int) - left), 1)
        inside[top:bottom, left:right] |= (np.cumsum(crossings, axis=1)[:, :-1] & 1).astype(bool)
    return inside


def decode_runs(counts: str | bytes | Sequence[int], size: Size) -> np.ndarray:
    """Decode COCO run lengths, compressed or not.

    Args:
        counts: lengths of alternating runs of 0 and 1, starting with 0, in column order; or their compressed text.
        size: (h, w), which the runs must fill exactly.

    Returns:
        (h, w) bool.

    Raises:
        ValueError: the runs do not fill the size, or cannot be decoded.
    """
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise ValueError(f"its size {size[1]}x{size[0]} is empty or too large")
    lengths = _uncompressed(counts) if isinstance(counts, str | bytes) else list(counts)
    if any(not isinstance(n, int) or n < 0 for n in lengths) or sum(lengths) != size[0] * size[1]:
        raise ValueError(f"its run lengths do not fill {size[1]}x{size[0]} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(size, order="F")


def _uncompressed(text: str | bytes) -> list[int]:
    """Decompress run lengths.

    Each character, minus 48, holds five bits of a number, lowest first. Its sixth bit is set if more follow; the fifth
    bit of the last character is the sign. From the fourth number on, the difference to the one two before is stored.
    """
    lengths: list[int] = []
    number = shift = 0
    for code in text.encode("ascii", "replace") if isinstance(text, str) else text:
        piece = code - 48
        if not 0 <= piece < 64 or shift > 40:
            raise ValueError("its run lengths are no text of COCO's")
        number |= (piece & 31) << shift
        shift += 5
        if not piece & 32:
            if piece & 16:
                number -= 1 << shift
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number = shift = 0
    return lengths
