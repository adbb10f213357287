"""Resize frames and masks to the network's input size (the release's inference protocol).

Images are resized as OpenCV's INTER_CUBIC does it, masks by nearest neighbour: output i reads input
floor(i * size_in / size_out).
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from aot_jax.typing import Array, ArrayLike, Size

Grid = TypeVar("Grid", bound=ArrayLike)

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # mean of ImageNet, RGB in [0, 1]
STD = np.array([0.229, 0.224, 0.225], np.float32)  # standard deviation, likewise


def inference_size(
    height: int,
    width: int,
    *,
    max_long_edge: float | None = None,
    max_short_edge: float | None = None,
    scale: float = 1.0,
    align_corners: bool = True,
) -> Size:
    """Return the network's input size for a frame.

    First the short edge, then the long edge is limited, keeping the aspect ratio; the result is scaled, truncated and
    rounded to the nearest 16 n + 1 (16 n without `align_corners`), ties to even n.

    Args:
        height: height of the frame, in pixels.
        width: width of the frame, in pixels.
        max_long_edge: limit of the long edge before scaling, in pixels; None or 0: no limit.
        max_short_edge: limit of the short edge before scaling, in pixels; None or 0: no limit.
        scale: scale factor of test-time augmentation.
        align_corners: the network's grid convention.

    Example:
        >>> inference_size(1080, 1920, max_long_edge=1040)
        (577, 1041)
    """
    h, w = float(height), float(width)
    if max_short_edge and min(h, w) > max_short_edge:
        ratio = max_short_edge / min(h, w)
        h, w = ratio * h, ratio * w
    if max_long_edge and max(h, w) > max_long_edge:
        ratio = max_long_edge / max(h, w)
        h, w = ratio * h, ratio * w
    rest = 1 if align_corners else 0

    def on_grid(n: float) -> int:
        # A frame of a few pixels still gets one cell.
        return max(round((int(n * scale) - rest) / 16) * 16 + rest, 1 if rest else 16)

    return on_grid(h), on_grid(w)


def _cubic_taps(size_in: Array | int, size_out: int, mirrored: Array | bool) -> Iterator[tuple[Array, Array]]:
    """Yield index (out,) and weight (out,) of the four taps of cubic convolution with a = -0.75, edges repeated."""
    a = -0.75
    cell = jnp.arange(size_out)
    cell = jnp.where(mirrored, size_out - 1 - cell, cell)
    # Whole numbers keep the position (cell + 0.5) * size_in / size_out - 0.5 exact.
    low, rest = jnp.divmod((2 * cell + 1) * size_in - size_out, 2 * size_out)
    x = rest / (2 * size_out)
    for tap, d in enumerate((1 + x, x, 1 - x, 2 - x)):  # distance of each tap
        inner = ((a + 2) * d - (a + 3)) * d * d + 1
        outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        yield jnp.clip(low + tap - 1, 0, size_in - 1), jnp.where(tap in (1, 2), inner, outer)


def resize_cubic(
    image: ArrayLike, size: Size, source: Sequence[Array | int] | None = None, mirrored: Array | bool = False
) -> Array:
    """Resize an image (h, w, c) to (*size, c) by bicubic interpolation without antialiasing; values are not clipped.

    Args:
        image: the image.
        size: its new size.
        source: height and width of the image where more rows and columns pad it; None: the whole array.
        mirrored: mirror it left to right. Like `source` it may be traced.
    """
    (height, width), image = source or image.shape[:2], jnp.asarray(image, jnp.float32)
    rows: Any = sum(image[index] * weight[:, None, None] for index, weight in _cubic_taps(height, size[0], False))
    pixels: Any = sum(rows[:, index] * weight[:, None] for index, weight in _cubic_taps(width, size[1], mirrored))
    return pixels


def normalise(image: Array) -> Array:
    """Normalise RGB (..., 3) in [0, 255] by ImageNet's mean and standard deviation."""
    return (image / 255 - MEAN) / STD


def resize_nearest(mask: Grid, size: Sequence[int]) -> Grid:
    """Resize a mask (h, w) to `size`; output index i reads input index floor(i * size_in / size_out)."""
    rows, columns = (np.arange(new) * old // new for old, new in zip(mask.shape, size, strict=True))
    found: Any = mask[rows]
    return found[:, columns]
