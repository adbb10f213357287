"""Labels beside points, where they cover little."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

SIZE = 7  # of the letters, in points
POINT = 6  # pixels from a point's middle that its mark takes
# Where a label may stand, in points to the right and up of its place; the first are preferred.
STEPS = [(sign * across, up) for up, across in ((0, 6), (7, 4), (-7, 4), (14, 4), (-14, 4)) for sign in (1, -1)]


def place_labels(
    axes: "Axes",
    labels: Sequence[tuple[str, tuple[float, float], str]],
    lines: Iterable["Line2D"],
    others: Iterable["Artist"],
) -> None:
    """Write each label beside its place, where it covers least: labels, points and `others` first, then lines.

    Args:
        axes: drawn for the last time but for the labels; its limits stay.
        labels: text, place in the axes' units, and colour of each.
        lines: to be kept clear of, if possible.
        others: such as the legend.
    """
    axes.figure.get_figure(root=True).draw_without_rendering()  # from here on it is known where things are, in pixels
    points = axes.transData.transform([place for _, place, _ in labels])
    boxes = [*np.hstack([points - POINT, points + POINT])]
    boxes += [other.get_window_extent().extents for other in others]
    dots = np.concatenate([_along(axes.transData.transform(line.get_xydata())) for line in lines])
    for text, place, colour in labels:
        tried: list[tuple[float, int, Any, np.ndarray]] = []
        for across, up in STEPS:
            label = axes.annotate(
                text,
                place,
                (across, up),
                textcoords="offset points",
                horizontalalignment="left" if across > 0 else "right",
                verticalalignment="center",
                fontsize=SIZE,
                color=colour,
            )
            box = np.array(label.get_window_extent().extents)
            tried.append((_covered(box, boxes, dots), len(tried), label, box))
        (_, _, _, box), *worse = sorted(tried, key=lambda entry: entry[:2])
        boxes.append(box)
        for _, _, label, _ in worse:
            label.remove()


def _along(corners: np.ndarray) -> np.ndarray:
    """Return places (n, 2), a pixel apart, along a line through `corners` (k, 2)."""
    pieces = [corners[:1]]
    for start, end in pairwise(corners):
        steps = np.linspace(0, 1, int(np.hypot(*(end - start))) + 2)[:, None]
        pieces.append(start + steps * (end - start))
    return np.concatenate(pieces)


def _covered(box: np.ndarray, boxes: Sequence[np.ndarray], dots: np.ndarray) -> float:
    """Say how much a box (left, bottom, right, top) covers: 1000 for a box, up to 1 for each dot."""
    others = np.asarray(boxes)
    width, height = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).T
    hidden = ((dots >= box[:2]) & (dots <= box[2:])).all(axis=1)
    return 1000.0 * np.count_nonzero((width > 0) & (height > 0)) + np.count_nonzero(hidden)
