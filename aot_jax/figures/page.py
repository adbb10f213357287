"""Make and save the pages of figures. The only module that loads matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aot_jax.errors import ReportedError
from aot_jax.io.overlay import draw_overlay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESOLUTION = 200  # dots per inch, of PNGs and of images in SVGs
FINE = 480  # pixels of the short edge below which frames are enlarged, for thin outlines
SUFFIXES = (".png", ".svg")


class FigureError(ReportedError):
    """A figure that cannot be drawn or saved."""


def make_page(rows: int, columns: int, width: float, height: float) -> tuple["Figure", "Sequence[Sequence[Axes]]"]:
    """Make a page of `rows` x `columns` panels, each `width` x `height` inches.

    Raises:
        FigureError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FigureError(
            f"figures need matplotlib, which cannot be loaded ({error}): pip install -r requirements-figures.txt"
        ) from None
    # Without pyplot there is no window and no global state.
    figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
    panels: Any = figure.subplots(rows, columns, squeeze=False)
    return figure, panels


def save_page(figure: "Figure", output: str | Path) -> list[Path]:
    """Write `output`.png and `output`.svg; returns both paths. A suffix .png or .svg of `output` is dropped.

    Raises:
        FigureError: if they cannot be written.
    """
    output = Path(output)
    if output.suffix.lower() in SUFFIXES:
        output = output.with_suffix("")
    paths = [output.with_name(output.name + suffix) for suffix in SUFFIXES]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for path in paths:
            figure.savefig(path, dpi=RESOLUTION)
    except OSError as error:
        raise FigureError(f"{output}: cannot be written ({error}); name another place with --output") from None
    return paths


def show_frame(axes: "Axes", frame: np.ndarray, labels: np.ndarray) -> None:
    """Show a frame (h, w, 3) uint8 with its labels (h, w), each object in its colour of the DAVIS palette."""
    scale = max(1, -(-FINE // min(labels.shape)))
    frame, labels = (x.repeat(scale, axis=0).repeat(scale, axis=1) for x in (frame, labels))
    axes.imshow(draw_overlay(frame, labels, ids=False))
    hide_axes(axes)


def hide_axes(axes: "Axes") -> None:
    """Remove the ticks and the frame of a panel."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
