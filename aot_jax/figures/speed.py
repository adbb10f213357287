"""Speed against accuracy (paper, Fig. 1), from bench/results.json and the scores.json of eval.py.

    {"published": [{"name": ..., "curve": ..., "split": ..., "fps": ..., "score": ..., "source": ...}, ...],
     "measured": [{... the same with "device" and "command" instead of "source" ...}, ...]}

`score` is J&F (YouTube-VOS: the mean over seen and unseen categories) in 0 .. 1; points of one `curve` are joined. A
scores.json of eval.py is one measured point.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aot_jax.figures.page import FigureError, make_page

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "bench" / "results.json"
SIZE = 7  # points, font size of labels
POINT = 6  # pixels, radius of a point's mark
# Offsets of a label from its point, in typographic points right and up; the first are preferred.
STEPS = [(sign * across, up) for up, across in ((0, 6), (7, 4), (-7, 4), (14, 4), (-14, 4)) for sign in (1, -1)]


class Point(NamedTuple):
    """One network at one depth."""

    name: str  # label of the point
    curve: str  # curve that joins it to others, such as the depths of one network
    split: str  # split of eval.py, such as youtubevos18
    fps: float  # frames a second, all objects together
    score: float  # J&F or G, 0 .. 1
    measured: bool  # measured with this code; else published
    device: str = ""  # device of the measurement, if known


def read_points(paths: Iterable[str | Path]) -> list[Point]:
    """Read points from files like bench/results.json and from scores.json files of eval.py.

    Raises:
        FigureError: for a file that is missing or not JSON, or a field that is missing or wrong; it names both.
    """
    points = []
    for path in map(Path, paths):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FigureError(f"{path}: cannot be read ({error}); give a scores.json of eval.py") from None
        if not isinstance(content, dict):
            raise FigureError(
                f"{path}: holds no figures; give a scores.json of eval.py, or a file like bench/results.json"
            )
        if "published" in content or "measured" in content:
            for kind in ("published", "measured"):
                points += [_point(path, entry, kind == "measured") for entry in content.get(kind, [])]
        else:
            points.append(_point(path, _of_run(path, content), measured=True))
    return points


def _of_run(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Convert the scores.json of one run of eval.py to an entry."""
    score = content.get("G", content.get("J&F"))
    if score is None:
        raise FigureError(f"{path}: has no J&F, since this split has no ground truth here; its server gives the score")
    name, weights = content.get("config"), content.get("checkpoint")
    drawn = f", {weights}" if weights == "random weights" else ""
    return {
        "name": f"{name}, L' = {content.get('depth')}{drawn}",
        "curve": f"{name}, {weights}",
        "split": content.get("split"),
        "fps": content.get("fps"),
        "score": score,
    }


def _point(path: Path, entry: dict[str, Any], measured: bool) -> Point:
    def field(name: str, kind: type) -> Any:
        value = entry.get(name) if isinstance(entry, dict) else None
        if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
            raise FigureError(
                f"{path}: {name} is {value!r} in {entry}; it is a {'number' if kind is float else 'text'}"
            )
        return kind(value)

    kinds = {"name": str, "curve": str, "split": str, "fps": float, "score": float}
    values = {name: field(name, kind) for name, kind in kinds.items()}
    point = Point(**values, measured=measured, device=str(entry.get("device", "")))
    if not (point.fps > 0 and 0 <= point.score <= 1):
        raise FigureError(
            f"{path}: {point.name} has fps {point.fps}, score {point.score}; fps is > 0, and score a fraction 0 .. 1"
        )
    return point


def choose_split(points: Sequence[Point], split: str | None) -> tuple[str, list[Point]]:
    """Return a split and its points; `split` None: that of the first measured point, else of the first point.

    Raises:
        FigureError: if there is no point of the split.
    """
    if not points:
        raise FigureError("there is no figure to draw: give files of figures, such as a scores.json of eval.py")
    splits = list(dict.fromkeys(point.split for point in sorted(points, key=lambda point: not point.measured)))
    chosen = split or splits[0]
    if chosen not in splits:
        raise FigureError(f"there is no figure of {chosen}; there are some of {', '.join(splits)}")
    return chosen, [point for point in points if point.split == chosen]


def draw_speed(split: str, points: Sequence[Point]) -> "Figure":
    """Draw points of one split: measured ones filled, published ones hollow, points of one curve joined."""
    figure, panels = make_page(1, 1, 7.5, 5.0)
    axes = panels[0][0]
    labels = []
    lines = []
    for number, (curve, measured) in enumerate(dict.fromkeys((point.curve, point.measured) for point in points)):
        joined = [point for point in points if (point.curve, point.measured) == (curve, measured)]
        joined.sort(key=lambda point: point.fps)
        colour = f"C{number % 10}"
        face = colour if measured else "white"
        places = [(point.fps, 100 * point.score) for point in joined]
        lines += axes.plot(*zip(*places), "o-" if measured else "o--", color=colour, markerfacecolor=face, linewidth=1)
        labels += [(point.name, place, colour) for point, place in zip(joined, places, strict=True)]
    devices = ", ".join(sorted({point.device for point in points if point.device}))
    if any(point.measured for point in points):
        axes.plot([], [], "o-", color="grey", label="measured with this code" + (f" ({devices})" if devices else ""))
    if not all(point.measured for point in points):
        axes.plot([], [], "o--", color="grey", markerfacecolor="white", label="published in the paper (one V100)")
    legend = axes.legend(loc="best", fontsize=8, handlelength=3)
    axes.set_xlabel("frames a second, all objects together")
    axes.set_ylabel("J&F (%)")
    axes.set_title(split + ("" if any(point.measured for point in points) else ": published figures, none measured"))
    axes.grid(alpha=0.3)
    axes.margins(x=0.12, y=0.08)
    place_labels(axes, labels, lines, [legend])
    return figure


def place_labels(
    axes: "Axes",
    labels: Sequence[tuple[str, tuple[float, float], str]],
    lines: Iterable["Line2D"],
    others: Iterable["Artist"],
) -> None:
    """Write each label beside its point, where it overlaps least with labels, points and `others`, then with lines.

    Args:
        axes: the plot, complete except for the labels; its limits must not change afterwards.
        labels: text, position in data coordinates, and colour of each.
        lines: lines to avoid if possible.
        others: further artists to avoid, such as the legend.
    """
    axes.figure.get_figure(root=True).draw_without_rendering()  # fixes the layout and thus positions in pixels
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
    """Return points (n, 2), about a pixel apart, along a line through `corners` (k, 2)."""
    pieces = [corners[:1]]
    for start, end in pairwise(corners):
        steps = np.linspace(0, 1, int(np.hypot(*(end - start))) + 2)[:, None]
        pieces.append(start + steps * (end - start))
    return np.concatenate(pieces)


def _covered(box: np.ndarray, boxes: Sequence[np.ndarray], dots: np.ndarray) -> float:
    """Return the cost of what a box (left, bottom, right, top) covers: 1000 for each box, 1 for each dot."""
    others = np.asarray(boxes)
    width, height = (np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])).T
    hidden = ((dots >= box[:2]) & (dots <= box[2:])).all(axis=1)
    return 1000.0 * np.count_nonzero((width > 0) & (height > 0)) + np.count_nonzero(hidden)
