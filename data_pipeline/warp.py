"""Resample images and masks together with OpenCV.

Images and masks share one convention: pixel i covers [i, i + 1), its centre is i + 0.5. Positions are (y, x). Images
use OpenCV's bicubic interpolation (a = -0.75) without antialiasing, masks the nearest pixel.
"""

import functools

import cv2
import numpy as np

_MARGIN = 2  # pixels of border that bicubic interpolation reads


def resize_window(image: np.ndarray, size: tuple[int, int], offset: np.ndarray, side: int, fill: tuple) -> np.ndarray:
    """Scale an image and cut a window.

    Args:
      image: (h, w, 3) uint8 or float32.
      size: (height, width) to scale to.
      offset: (2,) integers, the window's corner in the scaled image; may be negative. Window and image overlap.
      side: side of the window in pixels.
      fill: colour outside the image.

    Returns:
      (side, side, 3) of the image's dtype.
    """
    (top, bottom), (left, right) = _spans(size, offset, side)
    inside = cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)[top:bottom, left:right]
    y, x = top - int(offset[0]), left - int(offset[1])  # corner of the image's part in the window
    below, beside = side - y - (bottom - top), side - x - (right - left)
    return cv2.copyMakeBorder(inside, y, below, x, beside, cv2.BORDER_CONSTANT, value=fill)


def resize_mask_window(mask: np.ndarray, size: tuple[int, int], offset: np.ndarray, side: int) -> np.ndarray:
    """Scale a mask (h, w) uint8 and cut a window as `resize_window` does; returns (side, side), 0 outside."""
    window, spans = np.zeros((side, side), mask.dtype), _spans(size, offset, side)
    rows, columns = (
        np.floor((np.arange(*span) + 0.5) * (old / new)).astype(np.int64)
        for span, old, new in zip(spans, mask.shape, size, strict=True)
    )
    y, x = (low - int(o) for (low, _), o in zip(spans, offset, strict=True))
    window[y : y + len(rows), x : x + len(columns)] = mask[rows][:, columns]
    return window


def _spans(size: tuple[int, int], offset: np.ndarray, side: int) -> list[tuple[int, int]]:
    """Return the ranges (start, stop) of rows and of columns of the scaled image that a window shows."""
    low = np.clip(offset, 0, size)
    return list(zip(low.tolist(), np.clip(offset + side, low, size).tolist(), strict=True))


@functools.lru_cache(maxsize=4)
def _plain(shape: tuple[int, ...], fill: tuple) -> np.ndarray:
    return np.full(shape, fill, np.float32)


def affine(
    image: np.ndarray, mask: np.ndarray, matrix: np.ndarray, shift: np.ndarray, fill: tuple, view: np.ndarray
) -> np.ndarray:
    """Warp an image and its mask by source = matrix @ output + shift.

    Args:
      image: (h, w, 3) float32, from `with_margin`.
      mask: (h, w) uint8, without a margin.
      matrix: (2, 2), on (y, x).
      shift: (2,) source pixels.
      fill: colour of pixels whose source lies outside the image; their label is 0.
      view: output image (s, s, 3) float32; may overshoot 0 .. 255.

    Returns:
      mask (s, s) uint8.
    """
    inverse, size, nearest = centred(matrix, shift), view.shape[:2], cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    wider = inverse + np.array([0, 0, _MARGIN])
    cv2.warpAffine(image, wider, size, view, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderValue=fill)
    corners = np.array([[0, 0], [0, size[0]], [size[0], 0], size]) @ matrix.T + shift
    if (corners < 0).any() or (corners > mask.shape).any():
        outside = cv2.warpAffine(np.zeros_like(mask), inverse, size, flags=nearest, borderValue=1)
        cv2.copyTo(_plain(view.shape, tuple(fill)), outside, view)
    return cv2.warpAffine(mask, inverse, size, flags=nearest)


def crop(image: np.ndarray, mask: np.ndarray, low: np.ndarray, high: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Cut the window between corners low and high (2,), rounded to pixels, and scale it; the rest as in `affine`."""
    (top, left), (bottom, right) = np.rint(low).astype(int), np.maximum(np.rint(high), np.rint(low) + 1).astype(int)
    inside = image[_MARGIN + top : _MARGIN + bottom, _MARGIN + left : _MARGIN + right]
    cv2.resize(inside, view.shape[:2], dst=view, interpolation=cv2.INTER_CUBIC)
    return resize_mask_window(mask[top:bottom, left:right], view.shape[:2], np.zeros(2, int), len(view))


def with_margin(image: np.ndarray) -> np.ndarray:
    """Pad an image (h, w, 3) uint8 by repeating its border, for bicubic interpolation; returns float32."""
    m = _MARGIN
    return cv2.copyMakeBorder(image, m, m, m, m, cv2.BORDER_REPLICATE).astype(np.float32)


def centred(matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Convert y' = matrix @ y + shift to OpenCV's (2, 3): x before y, and integers at pixel centres."""
    shift = shift + matrix @ [0.5, 0.5] - 0.5
    return np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1)
