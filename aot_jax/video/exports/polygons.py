"""Trace masks as polygons along pixel edges."""

import cv2
import numpy as np

TOLERANCE = 0.75  # largest error of a simplified outline, in pixels; removes the steps of slanted edges


def outlines(mask: np.ndarray, tolerance: float = TOLERANCE) -> list[np.ndarray]:
    """Return the outer outline (n, 2) x, y of each 4-connected part of a mask (h, w) bool, largest first.

    Coordinates are pixel corners, 0 .. w and 0 .. h. Holes are filled, since single polygons cannot represent them. A
    part whose simplified outline has no area keeps its exact one.
    """
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=4)
    found = []
    for part in range(1, count):
        x, y, width, height, _ = boxes[part]
        inside = (parts[y : y + height, x : x + width] == part).astype(np.uint8)
        # OpenCV traces pixel centres: at double size, each is next to the pixel corner that it stands for.
        (outline,), _ = cv2.findContours(inside.repeat(2, 0).repeat(2, 1), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        exact = (outline + 1) // 2
        simple = cv2.approxPolyDP(exact, tolerance, closed=True)
        kept = simple if len(simple) > 2 and cv2.contourArea(simple) > 0 else exact
        found.append((cv2.contourArea(exact), kept[:, 0] + (x, y)))
    return [outline for _, outline in sorted(found, key=lambda pair: -pair[0])]
