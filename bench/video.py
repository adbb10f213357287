"""Videos for the benchmarks, generated or from files, and the timing of a tracker on their frames."""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aot_jax.io.frames import list_frames, read_frame
from aot_jax.io.generated import make_video
from aot_jax.io.mask_sets import read_masks
from aot_jax.start.compiled import Compilations
from aot_jax.tracker.batch import Next, advance_together
from aot_jax.tracker.tracker import Tracker
from aot_jax.typing import VOID
from bench.measure import BenchError
from bench.rulers import Rulers

WARM_UP = 2  # frames after the reference that are not timed
RULER_EVERY = 3  # frames between measurements of the unit


@dataclass(frozen=True)
class BenchVideo:
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
        """Return the ids of the objects, the largest first."""
        ids, pixels = np.unique(self.mask[self.mask != 0], return_counts=True)
        return ids[np.argsort(-pixels, kind="stable")].tolist()

    def onward(self) -> Iterator[np.ndarray]:
        """Yield frames after the reference endlessly: forward to the last, backward, and so on."""
        order = [*range(len(self.frames)), *range(len(self.frames) - 2, 0, -1)]
        return (self.frames[t] for t in itertools.islice(itertools.cycle(order), 1, None))

    def only(self, ids: list[int]) -> "BenchVideo":
        """Return the video with only these objects."""
        return BenchVideo(self.name, self.frames, np.where(np.isin(self.mask, ids), self.mask, 0))


def generate_video(objects: int, frames: int, height: int, width: int, seed: int = 0) -> BenchVideo:
    """Generate a video like the quick start's videos, with `frames` frames after the reference.

    Raises:
        BenchError: if not all objects are visible in the first frame, or the size is too small.
    """
    try:
        images, masks = make_video(seed, frames + 1, height, width, objects)
    except ValueError as error:
        raise BenchError(str(error)) from None
    video = BenchVideo(f"generated, seed {seed}", list(images), masks[0].astype(np.int32))
    if len(video.ids) != objects:
        raise BenchError(
            f"only {len(video.ids)} of {objects} generated objects show in a frame of {width}x{height}: "
            "take larger frames or fewer objects"
        )
    return video


def read_video(folder: Path, mask: Path, frames: int) -> BenchVideo:
    """Read the first image of a folder, up to `frames` more, and the mask of the first.

    Raises:
        BenchError: if there are fewer than two frames, they differ in size, or the mask has no object.
        FrameError, MaskError: if a file cannot be read.
    """
    images = [read_frame(path) for path in list_frames(folder)[: frames + 1]]
    sizes = {image.shape[:2] for image in images}
    if len(images) < 2 or len(sizes) > 1:
        raise BenchError(
            f"{folder} has {len(images)} frames of {len(sizes)} sizes; a video has two or more of one size"
        )
    (labels,) = read_masks(mask, size=images[0].shape[:2]).values()
    video = BenchVideo(str(folder), images, labels)
    if not video.ids:
        raise BenchError(f"{mask} has no object: every pixel is 0 or {VOID}")
    return video


def add_video_flags(parser: argparse.ArgumentParser, frames: int, height: int = 480, width: int = 854) -> None:
    """Add `--height`, `--width`, `--frames`, `--video` and `--mask`."""
    group = parser.add_argument_group("video", "generated, as the quick start's videos are, unless --video is given")
    group.add_argument("--height", type=int, default=height, help="height of generated frames (default: %(default)s)")
    group.add_argument("--width", type=int, default=width, help="width of generated frames (default: %(default)s)")
    group.add_argument("--frames", type=int, default=frames, help="after the reference frame (default: %(default)s)")
    group.add_argument("--video", type=Path, metavar="FOLDER", help="images of a real video")
    group.add_argument("--mask", type=Path, metavar="PNG", help="mask of its first frame")


def load_video(args: argparse.Namespace, objects: int | None = None) -> BenchVideo:
    """Return the video of the flags, with its `objects` largest objects; None: all (1 if generated).

    Raises:
        BenchError: if the flags contradict each other, or the video has too few objects.
    """
    if (args.video is None) != (args.mask is None):
        raise BenchError("--video and --mask go together: a folder of images and the mask of the first")
    if args.frames < 1:
        raise BenchError(f"--frames is {args.frames}; it is at least 1")
    if args.video is None:
        return generate_video(objects or 1, args.frames, args.height, args.width)
    video = read_video(args.video, args.mask, args.frames)
    if objects is not None and objects > len(video.ids):
        raise BenchError(
            f"{args.mask} has {len(video.ids)} objects, fewer than {objects}: ask for fewer with --objects"
        )
    return video if objects is None else video.only(video.ids[:objects])


def memory_frames(tracker: Tracker) -> int:
    """Return the number of long-term memory frames that the next frame attends to."""
    return tracker.streams[0].stored(tracker.states[0])


def time_video(
    tracker: Tracker, video: BenchVideo, rulers: Rulers, stop: int | None = None
) -> tuple[list[float], list[int]]:
    """Track a video from its reference up to frame `stop`; returns the same as `time_frames`."""
    tracker.step(video.frames[0], video.mask)
    return time_frames(tracker, video.frames[1:stop], rulers)


def time_frames(
    tracker: Tracker, frames: Iterable[np.ndarray], rulers: Rulers, warm_up: int = WARM_UP
) -> tuple[list[float], list[int]]:
    """Time a tracker on further frames.

    Args:
        tracker: a tracker that has its reference.
        frames: (h, w, 3) uint8 each.
        rulers: measured every `RULER_EVERY` frames.
        warm_up: first frames that are left out; frames during which a program was compiled are left out too.

    Returns:
        The seconds of each remaining frame, and the number of memory frames that it attended to.
    """
    seconds, seen = [], []
    with Compilations() as compilations:
        for t, frame in enumerate(frames):
            if t % RULER_EVERY == 0:
                rulers.measure()
            stored, compiled = memory_frames(tracker), compilations.count
            start = time.perf_counter()
            tracker.step(frame)
            elapsed = time.perf_counter() - start
            if t >= warm_up and compilations.count == compiled:
                seconds.append(elapsed)
                seen.append(stored)
    rulers.measure()
    return seconds, seen


def track_copies(trackers: Sequence[Tracker], video: BenchVideo) -> Iterator[None]:
    """Track a copy of a video with each tracker, as `eval.py --videos_at_once` does; yields after each frame of all.

    A frame's labels are read while the device works on the next.
    """
    waiting: list = []
    for t, frame in enumerate(video.frames):
        answers = advance_together([Next(tracker, frame, None if t else video.mask) for tracker in trackers])
        for answer in waiting:
            answer.read()
        waiting = answers
        yield
    for tracker in trackers:
        tracker.reset()


def time_copies(trackers: Sequence[Tracker], video: BenchVideo) -> dict[str, float]:
    """Time `track_copies`.

    Returns:
        `videos`; `seconds`, the median time of a frame of all videos, without the first `WARM_UP` and those during
        which a program was compiled; and `frames_per_second` of all videos together.

    Raises:
        BenchError: if no frame is left.
    """
    seconds = []
    with Compilations() as compilations:
        start, compiled = time.perf_counter(), 0
        for t, _ in enumerate(track_copies(trackers, video)):
            if t > WARM_UP and compilations.count == compiled:
                seconds.append(time.perf_counter() - start)
            start, compiled = time.perf_counter(), compilations.count
    if not seconds:
        raise BenchError(f"all of {len(video.frames) - 1} frames waited for the compiler: take more")
    median = statistics.median(seconds)
    return {"videos": len(trackers), "seconds": median, "frames_per_second": len(trackers) / median}
