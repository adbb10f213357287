"""Draw masks over frames, for people: a tint, a contour and the id of each object."""

import numpy as np
from PIL import Image, ImageDraw

from aot_jax.io.masks import DAVIS_PALETTE

VOID = 255  # stays untinted


def draw_overlay(frame: np.ndarray, labels: np.ndarray, ids: bool = True, alpha: float = 0.5) -> np.ndarray:
    """Tint objects in the DAVIS palette, draw their contours and, with `ids`, their numbers.

    Args:
        frame: (h, w, 3) uint8 RGB.
        labels: (h, w) integers, 0 background, 255 void.
        ids: write each object's id at the middle of its pixels.
        alpha: weight of the tint.

    Returns:
        (h, w, 3) uint8.
    """
    labels = np.asarray(labels)
    colours = DAVIS_PALETTE[labels % 256]
    objects = (labels != 0) & (labels != VOID)
    mixed = ((1 - alpha) * frame + alpha * colours).round().astype(np.uint8)
    mixed = np.where(objects[..., None], mixed, frame)
    mixed[contours(labels) & objects] = 255
    if not ids:
        return mixed
    picture = Image.fromarray(mixed)
    draw = ImageDraw.Draw(picture)
    for i in np.unique(labels[objects]).tolist():
        y, x = (np.median(axis) for axis in np.nonzero(labels == i))
        draw.text((x, y), str(i), anchor="mm", fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def contours(labels: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge
