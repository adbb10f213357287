"""The video that a figure is drawn from, with the mask of its first frame."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from aot_jax.figures.page import FigureError
from aot_jax.io.generated import make_video, plan_video
from aot_jax.io.masks import read_mask
from aot_jax.io.sources import open_source

SEED = 1_000_000  # of the video that is drawn where none is given: far from those that training sees
FRAMES = 20  # of that video
HEIGHT, WIDTH = 160, 208  # pixels, as in training


@dataclass(frozen=True)
class Clip:
    """A video, read as often as it is asked for, and never held as a whole."""

    name: str
    count: int | None  # frames; None where a video file does not tell
    mask: np.ndarray  # (h, w) int32 ids in the first frame
    label: Callable[[int], str]  # a frame's name, which is that of its mask, without suffix
    open: Callable[[], Iterator[np.ndarray]]  # frames from the first, (h, w, 3) uint8 each

    def frames(self, stop: int) -> Iterator[np.ndarray]:
        """Yield frames 0 .. `stop` - 1.

        Raises:
            FigureError: where the video ends before that.
        """
        count = 0
        for pixels in islice(self.open(), stop):
            count += 1
            yield pixels
        if count < stop:
            raise FigureError(
                f"{self.name}: frame {stop - 1} is wanted, but there are {count}, numbered from 0; choose earlier ones"
            )


def open_clip(video: Sequence[str | Path], mask: str | Path | None) -> Clip:
    """Open a video and read the mask of its first frame.

    Args:
        video: a video file, folder, glob or images, as for `track.py`; empty: a generated video.
        mask: PNG of ids; None for a generated video only.

    Raises:
        FigureError: a video without mask, or a mask without video.
        FrameError, MaskError: for a file that cannot be read.
    """
    if not video:
        if mask is not None:
            raise FigureError(f"--mask {mask} is given without a video: name the video that it belongs to")
        plan = plan_video(SEED, 0, (3, 3), 1.0)
        images, masks = make_video(plan.seed, FRAMES, HEIGHT, WIDTH, plan.objects, plan.lookalikes)
        return Clip("generated video", FRAMES, masks[0].astype(np.int32), "{:05d}".format, lambda: iter(images))
    if mask is None:
        raise FigureError(f"{video[0]}: the mask of its first frame is missing; give --mask FIRST.png")
    source = open_source(video)
    return Clip(
        str(video[0]),
        source.expected,
        read_mask(mask, source.size),
        source.label,
        lambda: (frame.pixels for frame in source.frames()),
    )
