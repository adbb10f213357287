"""The clips that the benchmarks run on: generated ones of any size, or a person's frames with a first mask."""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aot_jax.io.frames import list_frames, read_frame
from aot_jax.io.generated import make_video
from aot_jax.io.masks import read_mask
from aot_jax.typing import VOID


class ClipError(ValueError):
    """A clip that a benchmark cannot run on."""


@dataclass(frozen=True)
class Clip:
    """A reference frame with its mask, and the frames that are timed."""

    name: str
    frames: list[np.ndarray]  # (h, w, 3) uint8, the reference first
    mask: np.ndarray  # (h, w) int32 ids of the reference

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.mask.shape

    @property
    def ids(self) -> list[int]:
        """Return the objects, the largest first."""
        ids, pixels = np.unique(self.mask[self.mask != 0], return_counts=True)
        return ids[np.argsort(-pixels, kind="stable")].tolist()

    def onward(self) -> Iterator[np.ndarray]:
        """Yield frames after the reference without end: to the last one, back, and so on, so that motion is smooth."""
        order = [*range(len(self.frames)), *range(len(self.frames) - 2, 0, -1)]
        return (self.frames[t] for t in itertools.islice(itertools.cycle(order), 1, None))

    def only(self, ids: list[int]) -> "Clip":
        """Return the clip with these objects alone."""
        return Clip(self.name, self.frames, np.where(np.isin(self.mask, ids), self.mask, 0))


def generate_clip(objects: int, frames: int, height: int, width: int, seed: int = 0) -> Clip:
    """Draw a clip of `frames` frames after the reference, as the quick start's videos are.

    Raises:
        ClipError: if so many objects do not all show in the first frame, or the size is too small.
    """
    try:
        images, masks = make_video(seed, frames + 1, height, width, objects)
    except ValueError as error:
        raise ClipError(str(error)) from None
    clip = Clip(f"generated, seed {seed}", list(images), masks[0].astype(np.int32))
    if len(clip.ids) != objects:
        raise ClipError(
            f"only {len(clip.ids)} of {objects} generated objects show in a frame of {width}x{height}: "
            "take larger frames or fewer objects"
        )
    return clip


def read_clip(folder: Path, mask: Path, frames: int) -> Clip:
    """Read up to `frames` frames after the first of a folder of images, and the first one's mask.

    Raises:
        ClipError: if there are fewer than two frames, or they differ in size.
        FrameError, MaskError: if a file cannot be read.
    """
    images = [read_frame(path) for path in list_frames(folder)[: frames + 1]]
    sizes = {image.shape[:2] for image in images}
    if len(images) < 2 or len(sizes) > 1:
        raise ClipError(f"{folder} has {len(images)} frames of {len(sizes)} sizes; a clip has two or more of one size")
    labels = read_mask(mask, images[0].shape[:2])
    clip = Clip(str(folder), images, np.where(labels == VOID, 0, labels))
    if not clip.ids:
        raise ClipError(f"{mask} has no object: every pixel is 0 or {VOID}")
    return clip


def add_clip_flags(parser: argparse.ArgumentParser, frames: int, height: int = 480, width: int = 854) -> None:
    """Add `--height`, `--width`, `--frames`, `--video` and `--mask`."""
    group = parser.add_argument_group("clip", "generated, as the quick start's videos are, unless --video is given")
    group.add_argument("--height", type=int, default=height, help="of generated frames (default: %(default)s)")
    group.add_argument("--width", type=int, default=width, help="of generated frames (default: %(default)s)")
    group.add_argument("--frames", type=int, default=frames, help="after the reference frame (default: %(default)s)")
    group.add_argument("--video", type=Path, metavar="FOLDER", help="images of a real clip")
    group.add_argument("--mask", type=Path, metavar="PNG", help="mask of its first frame")


def load_clip(args: argparse.Namespace, objects: int | None = None) -> Clip:
    """Return the clip that the flags ask for, with the `objects` largest objects; None: all of a mask's.

    Raises:
        ClipError: if the flags do not fit together, or the clip has too few objects.
    """
    if (args.video is None) != (args.mask is None):
        raise ClipError("--video and --mask go together: a folder of images and the mask of the first")
    if args.frames < 1:
        raise ClipError(f"--frames is {args.frames}; it is at least 1")
    if args.video is None:
        return generate_clip(objects or 1, args.frames, args.height, args.width)
    clip = read_clip(args.video, args.mask, args.frames)
    if objects is not None and objects > len(clip.ids):
        raise ClipError(f"{args.mask} has {len(clip.ids)} objects, fewer than {objects}: ask for fewer with --objects")
    return clip if objects is None else clip.only(clip.ids[:objects])
