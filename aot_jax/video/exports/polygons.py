"""Outlines of a mask as polygons along pixel edges."""

import numpy as np

TOLERANCE = 0.75  # pixels that a simplified outline may be off; steps of a slanted edge are removed


def outlines(mask: np.ndarray, tolerance: float = TOLERANCE) -> list[np.ndarray]:
    """Return the outer outline (n, 2) of x, y of each connected part of a mask (h, w) bool, largest first.

    Coordinates are of pixel corners, 0 .. w and 0 .. h. Pixels that touch at a corner only are parts of their own.
    Holes are filled: polygons of a single ring cannot show them. A part that simplifies to nothing keeps its corners.
    """
    mask = np.asarray(mask, bool)
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not ys.size:
        return []
    corner = np.array([xs[0], ys[0]])
    loops = _trace(mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1])
    outer = sorted(((area, i) for i, loop in enumerate(loops) if (area := _area(loop)) > 0), reverse=True)
    found = []
    for _, i in outer:
        simple = _simplify(loops[i], tolerance) if len(loops[i]) > 4 else loops[i]
        found.append(corner + (simple if len(simple) > 2 and _area(simple) > 0 else loops[i]))
    return found


def _area(loop: np.ndarray) -> float:
    """Return the area inside, positive where the outline runs clockwise on the screen."""
    x, y = loop[:, 0].astype(float), loop[:, 1].astype(float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _trace(mask: np.ndarray) -> list[np.ndarray]:
    """Follow pixel edges with the mask on their right; returns the corners of every closed loop."""
    padded = np.pad(mask, 1)
    inside, above, left = padded[1:, 1:], padded[:-1, 1:], padded[1:, :-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def link(edges: np.ndarray, start: tuple[int, int], end: tuple[int, int]) -> None:
        for y, x in np.argwhere(edges).tolist():
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))

    link(inside & ~above, (0, 0), (1, 0))  # top edges, to the right
    link(above & ~inside, (1, 0), (0, 0))  # bottom edges, to the left
    link(inside & ~left, (0, 1), (0, 0))  # left edges, upward
    link(left & ~inside, (0, 0), (0, 1))  # right edges, downward
    loops = []
    while following:
        start = next(iter(following))
        corners, point, heading = [], start, None
        while True:
            ways = following[point]
            way = ways[0]
            if len(ways) == 2 and heading is not None:  # two pixels touch at this corner: turn right, stay at one
                right = (point[0] - heading[1], point[1] + heading[0])
                way = right if right in ways else way
            ways.remove(way)
            if not ways:
                del following[point]
            turned = (way[0] - point[0], way[1] - point[1])
            if turned != heading:
                corners.append(point)
            point, heading = way, turned
            if point == start:
                break
        loops.append(np.array(corners))
    return loops


def _simplify(loop: np.ndarray, tolerance: float) -> np.ndarray:
    """Drop corners of a closed loop that lie within `tolerance` of the line between those kept (Douglas, Peucker)."""
    far = int(np.argmax(((loop - loop[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([loop, loop[:1]]).astype(float)
    keep = np.zeros(len(closed), bool)
    keep[[0, far, -1]] = True
    parts = [(0, far), (far, len(loop))]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        chord, offsets = closed[last] - closed[first], closed[first + 1 : last] - closed[first]
        length = np.hypot(*chord)
        cross = np.abs(offsets[:, 0] * chord[1] - offsets[:, 1] * chord[0])
        distance = cross / length if length else np.hypot(*offsets.T)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            parts += [(first, middle), (middle, last)]
    return loop[keep[:-1]]
