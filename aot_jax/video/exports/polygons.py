"""Outlines of a mask as polygons along pixel edges."""

import cv2
import numpy as np

TOLERANCE = 0.75  # pixels that a simplified outline may be off; steps of a slanted edge are removed


def outlines(mask: np.ndarray, tolerance: float = TOLERANCE) -> list[np.ndarray]:
    """Return the outer outline (n, 2) of x, y of each connected part of a mask (h, w) bool, largest first.

    Coordinates are of pixel corners, 0 .. w and 0 .. h. Pixels that touch at a corner only are parts of their own.
    Holes are filled: polygons of a single ring cannot show them. A part that simplifies to nothing keeps its corners.
    """
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=4)
    found = []
    for part in range(1, count):
        x, y, width, height, _ = boxes[part]
        inside = (parts[y : y + height, x : x + width] == part).astype(np.uint8)
        # OpenCV follows the centres of pixels: in twice the size, each is beside the corner that it stands for.
        (outline,), _ = cv2.findContours(inside.repeat(2, 0).repeat(2, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        exact = (outline + 1) // 2
        simple = cv2.approxPolyDP(exact, tolerance, closed=True)
        kept = simple if len(simple) > 2 and cv2.contourArea(simple) > 0 else exact
        found.append((cv2.contourArea(exact), kept[:, 0] + (x, y)))
    return [outline for _, outline in sorted(found, key=lambda pair: -pair[0])]
