"""Draw masks over frames: a tint, a contour and the id of each object."""

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from aot_jax.io.masks import DAVIS_PALETTE
from aot_jax.typing import VOID

LINE = 600  # length of the short edge relative to the contour width
TEXT = 32  # length of the short edge relative to the height of numbers
SMALLEST_TEXT = 10  # smallest height of numbers, in pixels


def draw_overlay(
    frame: np.ndarray, labels: np.ndarray, ids: bool = True, alpha: float = 0.5, void: int | None = VOID
) -> np.ndarray:
    """Tint objects in the DAVIS palette, draw their contours and, with `ids`, their numbers.

    Args:
        frame: (h, w, 3) uint8 RGB.
        labels: (h, w) integers, 0 background.
        ids: write each object's id inside it, near the middle of its pixels.
        alpha: weight of the tint.
        void: label that is not drawn; None: draw all.

    Returns:
        (h, w, 3) uint8.

    Example:
        >>> frame, labels = np.zeros((3, 6, 3), np.uint8), np.zeros((3, 6), int)
        >>> labels[:, 2:] = 1
        >>> draw_overlay(frame, labels, ids=False)[1, ::2].tolist()  # background, outline, object 1 in half of dark red
        [[0, 0, 0], [255, 255, 255], [64, 0, 0]]
    """
    labels, picture = np.asarray(labels), np.array(frame)
    objects = (labels != 0) & (labels != void) if void is not None else labels != 0
    if not objects.any():
        return picture
    of_pixels = labels[objects]
    colours = np.where(of_pixels > 255, (of_pixels - 1) % 255 + 1, of_pixels)  # never the background colour
    tint = alpha * DAVIS_PALETTE[colours] + (1 - alpha) * picture[objects]
    picture[objects] = tint.round().astype(np.uint8)
    short = min(labels.shape)
    picture[contours(labels, max(1, short // LINE)) & objects] = 255
    if not ids:
        return picture
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(SMALLEST_TEXT, short // TEXT))
    for i, (y, x) in centres(labels, objects).items():
        draw.text((x, y), str(i), anchor="mm", fill="white", stroke_width=1, stroke_fill="black", font=font)
    return np.array(image)


def centres(labels: np.ndarray, objects: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return {id: (y, x)}: the pixel of each id nearest to its median, among pixels where `objects` (h, w) is true."""
    ys, xs = np.nonzero(objects)
    of_pixels = labels[ys, xs]
    order = np.argsort(of_pixels, kind="stable")
    ids, starts = np.unique(of_pixels[order], return_index=True)
    found = {}
    for i, members in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
        y, x = ys[members], xs[members]
        nearest = np.argmin((y - np.median(y)) ** 2 + (x - np.median(x)) ** 2)
        found[i] = (int(y[nearest]), int(x[nearest]))
    return found


def contours(labels: np.ndarray, width: int = 1) -> np.ndarray:
    """Return (h, w) bool: pixels within `width` of another label, horizontally or vertically."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (2 * width + 1,) * 2)
    return cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, cross) > 0  # exact for ids below 2^24
