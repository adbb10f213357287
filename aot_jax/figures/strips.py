"""The video of a figure, and strips of frames with the masks of each method (paper, Fig. 6)."""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from aot_jax.figures.page import FigureError, make_page, show_frame
from aot_jax.io.generated import make_video, plan_video
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.masks import read_mask
from aot_jax.io.sources import open_source
from aot_jax.network import Model
from aot_jax.tracker.tracker import Tracker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNT = 5  # frames of a strip if no times are given
LINE = 22  # characters of a row's title in one line
SEED = 1_000_000  # seed of the video generated if none is given: far from those of training
FRAMES = 20  # frames of that video
HEIGHT, WIDTH = 160, 208  # pixels of that video, as in training


@dataclass(frozen=True)
class FigureVideo:
    """A video that can be read several times, frame by frame."""

    name: str
    count: int | None  # frames; None if the video file does not say
    mask: np.ndarray  # (h, w) int32 ids in the first frame
    label: Callable[[int], str]  # name of a frame and its mask, without suffix
    open: Callable[[], Iterator[np.ndarray]]  # iterates from the first frame, (h, w, 3) uint8 each

    def frames(self, stop: int) -> Iterator[np.ndarray]:
        """Yield frames 0 .. `stop` - 1.

        Raises:
            FigureError: if the video has fewer frames.
        """
        count = 0
        for pixels in islice(self.open(), stop):
            count += 1
            yield pixels
        if count < stop:
            raise FigureError(
                f"{self.name}: frame {stop - 1} is wanted, but there are {count}, numbered from 0; choose earlier ones"
            )


def load_video(video: Sequence[str | Path], mask: str | Path | None) -> FigureVideo:
    """Open a video and read the mask of its first frame.

    Args:
        video: a video file, folder, glob or images, as for `track.py`; empty: a generated video.
        mask: PNG of ids; None only for a generated video.

    Raises:
        FigureError: for a video without a mask, or a mask without a video.
        FrameError, MaskError: for a file that cannot be read.
    """
    if not video:
        if mask is not None:
            raise FigureError(f"--mask {mask} is given without a video: name the video that it belongs to")
        plan = plan_video(SEED, 0, (3, 3), 1.0)
        images, masks = make_video(plan.seed, FRAMES, HEIGHT, WIDTH, plan.objects, plan.lookalikes)
        return FigureVideo("generated video", FRAMES, masks[0].astype(np.int32), "{:05d}".format, lambda: iter(images))
    if mask is None:
        raise FigureError(f"{video[0]}: the mask of its first frame is missing; give --mask FIRST.png")
    source = open_source(video)
    return FigureVideo(
        str(video[0]),
        source.expected,
        read_masks(mask, source, frame=0)[0],
        source.label,
        lambda: (frame.pixels for frame in source.frames()),
    )


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
        own = tracker.step(frame, video.mask if t == 0 else None)
        if t in times:
            labels[t] = own
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
        rows: for each method's name, labels (h, w) of these frames.
    """
    height, width = frames[0].shape[:2]
    figure, panels = make_page(len(rows), len(times), 2.6, 2.6 * height / width + 0.1)
    for row, (name, labels) in zip(panels, rows.items(), strict=True):
        row[0].set_ylabel(textwrap.fill(name, LINE), fontsize=9)
        for axes, frame, own in zip(row, frames, labels, strict=True):
            show_frame(axes, frame, own)
    for axes, t in zip(panels[0], times, strict=True):
        axes.set_title("reference" if t == 0 else f"frame {t}")
    return figure
