"""Draw what attentions carry: coloured masks in each layer (paper, Fig. 9)."""

from typing import TYPE_CHECKING

import numpy as np

from aot_jax.figures.attention import Maps
from aot_jax.figures.page import hide_axes, make_page, show_frame
from aot_jax.io.masks import DAVIS_PALETTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette's hues at full brightness: how bright a cell is says how much came.
COLOURS = DAVIS_PALETTE[1:] / DAVIS_PALETTE[1:].max(axis=1, keepdims=True).astype(np.float32)


def colour(shares: np.ndarray) -> np.ndarray:
    """Colour shares (g, h, w, M + 1): (h, w, 3) float32 in 0 .. 1, black where only background came.

    The brighter a colour, the more of the attention fell on its object.
    """
    objects = np.concatenate(list(shares[..., 1:]), axis=-1)  # in the order of slots
    palette = COLOURS[np.arange(objects.shape[-1]) % len(COLOURS)]
    return np.clip(objects @ palette, 0, 1)


def draw_maps(maps: Maps) -> "Figure":
    """Draw three rows: frames with their masks; what short-term, and what long-term attention carries in each layer."""
    depth, t = len(maps.layers), max(maps.frames)
    height, width = maps.frames[t].shape[:2]
    terms = [("short", "short-term"), ("long", "long-term")]
    terms = [(term, title) for term, title in terms if getattr(maps.layers[0], term) is not None]
    figure, panels = make_page(1 + len(terms), max(len(maps.frames), depth), 3.0, 0.35 + 3.0 * height / width)
    for row in panels:
        for axes in row:
            hide_axes(axes)
            axes.set_facecolor("none")
    titles = {0: "frame 0, reference", t: f"frame {t}, predicted"}
    for axes, (index, frame) in zip(panels[0], sorted(maps.frames.items()), strict=False):
        show_frame(axes, frame, maps.labels[index])
        axes.set_title(titles.get(index, f"frame {index}"))
    for row, (term, title) in zip(panels[1:], terms, strict=True):
        for number, (axes, layer) in enumerate(zip(row, maps.layers, strict=False), start=1):
            # Cells stay visible: the maps have no finer detail.
            extent = (0, width, height, 0)
            axes.imshow(colour(getattr(layer, term)), extent=extent, interpolation="nearest")
            axes.set_title(f"{title}, l = {number}")
    stored = ", ".join(map(str, maps.memory_frames))
    panels[-1][0].set_xlabel(f"long-term memory: frame{'s' if ',' in stored else ''} {stored}")
    return figure
