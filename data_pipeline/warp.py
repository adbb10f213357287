"""Resample images and masks together with OpenCV.

Conventions, the same for images and masks so that they stay aligned: pixel i covers [i, i + 1), its centre is i + 0.5.
Places are (y, x). Images use OpenCV's cubic (a = -0.75) without antialiasing, masks the nearest pixel.
"""

import cv2
import numpy as np

_MARGIN = 2  # pixels that the cubic reads beyond a place


def resize_window(images: np.ndarray, size: tuple[int, int], offset: np.ndarray, side: int, fill: tuple) -> np.ndarray:
    """Scale an image and cut a window.

    Args:
      images: (h, w, 3) uint8 or float32.
      size: height and width to scale to.
      offset: (2,) integers, the window's corner in the scaled image; may be negative.
      side: of the window in pixels.
      fill: colour outside the image.

    Returns:
      (side, side, 3) of the image's type.
    """
    scaled = cv2.resize(images, size[::-1], interpolation=cv2.INTER_CUBIC)
    window = np.empty((side, side, 3), images.dtype)
    window[:] = fill
    inside, there = _overlap(size, offset, side)
    window[inside] = scaled[there]
    return window


def resize_mask_window(mask: np.ndarray, size: tuple[int, int], offset: np.ndarray, side: int) -> np.ndarray:
    """Scale a mask (h, w) uint8 and cut a window like `resize_window`; (side, side), 0 outside."""
    window = np.zeros((side, side), mask.dtype)
    inside, there = _overlap(size, offset, side)
    rows, columns = (
        np.floor((np.arange(part.start, part.stop) + 0.5) * (old / new)).astype(np.int64)
        for part, old, new in zip(there, mask.shape, size, strict=True)
    )
    window[inside] = mask[rows][:, columns]
    return window


def _overlap(size: tuple[int, int], offset: np.ndarray, side: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where a window and the scaled image overlap, in the window's and in the image's coordinates."""
    low = [max(0, int(o)) for o in offset]
    high = [max(a, min(n, int(o) + side)) for a, n, o in zip(low, size, offset, strict=True)]
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside = tuple(slice(a - int(o), b - int(o)) for a, b, o in zip(low, high, offset, strict=True))
    return inside, there


def affine(
    image: np.ndarray, mask: np.ndarray, side: int, matrix: np.ndarray, shift: np.ndarray, fill: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Warp an image and its mask by source = matrix @ output + shift.

    Args:
      image: (h, w, 3) float32, from `with_margin`.
      mask: (h, w) uint8, without a margin.
      side: of the output.
      matrix: (2, 2).
      shift: (2,).
      fill: colour for pixels whose source lies outside the image; their label is 0.

    Returns:
      image (side, side, 3) float32, which may overshoot 0 .. 255, and mask (side, side) uint8.
    """
    inverse, size, nearest = centred(matrix, shift), (side, side), cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    labels = cv2.warpAffine(mask, inverse, size, flags=nearest)
    wider = inverse + np.array([0, 0, _MARGIN])
    view = cv2.warpAffine(image, wider, size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderValue=fill)
    corners = np.array([[0, 0], [0, side], [side, 0], [side, side]]) @ matrix.T + shift
    if (corners < 0).any() or (corners > mask.shape).any():
        view[cv2.warpAffine(np.ones_like(mask), inverse, size, flags=nearest) == 0] = fill
    return view, labels


def with_margin(image: np.ndarray) -> np.ndarray:
    """Repeat an image's border (h, w, 3) uint8 for the cubic's reach; returns float32."""
    m = _MARGIN
    return cv2.copyMakeBorder(image, m, m, m, m, cv2.BORDER_REPLICATE).astype(np.float32)


def centred(matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Write y' = matrix @ y + shift as OpenCV's (2, 3): x before y, and whole numbers at the centres of pixels."""
    shift = shift + matrix @ [0.5, 0.5] - 0.5
    return np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1)
