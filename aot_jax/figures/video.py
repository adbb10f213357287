"""The video of a figure: a user's, with the mask of its first frame, or a generated one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from aot_jax.figures.page import FigureError
from aot_jax.io.generated import make_video, plan_video
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.sources import open_source

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
