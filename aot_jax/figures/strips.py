"""Strips of frames with the masks of each method (paper, Fig. 6)."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from aot_jax.figures.page import FigureError, make_page, show_frame
from aot_jax.figures.video import FigureVideo
from aot_jax.io.masks import read_mask
from aot_jax.network import Model
from aot_jax.tracker.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNT = 5  # frames of a strip if no times are given
LINE = 22  # most characters in a line of a row's title


def choose_times(times: Sequence[int], count: int | None) -> list[int]:
    """Return the frames to show: `times`, or `COUNT` spread evenly over a video of `count` frames.

    Raises:
        FigureError: for a negative time, or if neither `times` nor `count` is given.
    """
    if min(times, default=0) < 0:
        raise FigureError(f"--times {min(times)}: frames are numbered from 0")
    if times:
        return list(times)
    if count is None:
        raise FigureError("the video does not say how many frames it has: name those to show with --times")
    return np.unique(np.linspace(0, count - 1, COUNT).round().astype(int)).tolist()


def read_frames(video: FigureVideo, times: Sequence[int]) -> list[np.ndarray]:
    """Read the frames at `times`, (h, w, 3) uint8 each."""
    frames = {t: frame for t, frame in enumerate(video.frames(max(times) + 1)) if t in times}
    return [frames[t] for t in times]


def track_labels(model: Model, video: FigureVideo, times: Sequence[int], depth: int | None = None) -> list[np.ndarray]:
    """Track the objects of a video's first mask; returns labels (h, w) of the frames at `times`.

    Raises:
        TrackError: for a mask without objects, or a depth that the network does not have.
    """
    tracker = Tracker(model, depth)
    stop = max(times) + 1
    frames = tqdm(video.frames(stop), f"depth {tracker.depth}", stop, unit="frame", leave=False, disable=None)
    labels = {}
    for t, frame in enumerate(frames):
        predicted = tracker.step(frame, video.mask if t == 0 else None)
        if t in times:
            labels[t] = predicted
    return [labels[t] for t in times]


def read_results(folder: str | Path, video: FigureVideo, times: Sequence[int]) -> list[np.ndarray]:
    """Read the masks of the frames at `times` from a folder; they are named like the frames.

    Raises:
        MaskError: for a mask that is missing or has another size.
    """
    return [read_mask(Path(folder) / f"{video.label(t)}.png", video.mask.shape) for t in times]


def draw_strips(
    frames: Sequence[np.ndarray], times: Sequence[int], rows: Mapping[str, Sequence[np.ndarray]]
) -> "Figure":
    """Draw a row of frames for each method.

    Args:
        frames: (h, w, 3) uint8 each.
        times: their indices in the video.
        rows: labels (h, w) of these frames, by name of the method.
    """
    height, width = frames[0].shape[:2]
    figure, panels = make_page(len(rows), len(times), 2.6, 2.6 * height / width + 0.1)
    for row, (name, labels) in zip(panels, rows.items(), strict=True):
        row[0].set_ylabel(textwrap.fill(name, LINE), fontsize=9)
        for axes, frame, mask in zip(row, frames, labels, strict=True):
            show_frame(axes, frame, mask)
    for axes, t in zip(panels[0], times, strict=True):
        axes.set_title("reference" if t == 0 else f"frame {t}")
    return figure
