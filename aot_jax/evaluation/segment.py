"""Segment videos of a split, one or several at once on a device, reading and writing files in the background."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from aot_jax.evaluation.splits import SplitVideo
from aot_jax.evaluation.timing import Timing
from aot_jax.io.files import clear_remains
from aot_jax.io.frames import FrameError, read_frame
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.mask_writer import MaskWriter
from aot_jax.io.masks import MaskError, binarise, object_ids
from aot_jax.io.sources import read_ahead
from aot_jax.start.compiled import Compilations
from aot_jax.tracker.answer import Answer
from aot_jax.tracker.batch import FrameTracker, Next, advance_together
from aot_jax.tracker.checks import TrackError
from aot_jax.typing import VOID


class GivenMasks:
    """Masks given to a tracker: each object in the first frame where it appears.

    Args:
        sequence: the video.
        binary: merge all objects into one.
    """

    def __init__(self, sequence: SplitVideo, binary: bool) -> None:
        self._sequence = sequence
        self._binary = binary
        numbers = {frame.stem: t for t, frame in enumerate(sequence.frames)}
        files = {stem: sequence.masks[stem] for stem in numbers if stem in sequence.masks}
        void = VOID if binary else 0
        self._masks = read_masks(files, void=void, keep_going=True)
        # Scoring decides from all masks what values mean.
        if sequence.annotated and not self._masks.are_certain(merged=binary):
            more = {stem: sequence.annotated[stem] for stem in numbers if stem in sequence.annotated}
            self._masks = read_masks(more, void=void, keep_going=True)
        self._given = files.keys()
        self._left = len(files)
        self._starts = {i: numbers[thing.frames[0]] for i, thing in sequence.objects.items()}
        self.known: set[int] = set()

    def at(self, t: int) -> np.ndarray | None:
        """Return the new objects of frame t, (h, w) ids, or None. Call it for every frame, in order.

        Raises:
            MaskError: a mask cannot be read, or no mask has an object (raised at the last one).
        """
        objects, stem = self._sequence.objects, self._sequence.frames[t].stem
        if stem not in self._given or (objects and self.known >= objects.keys()):
            return None
        self._left -= 1
        mask = binarise(self._masks[stem]) if self._binary else self._masks[stem]
        new = [i for i in object_ids(mask) if i not in self.known]
        if objects:
            new = [i for i in new if i in objects and self._starts[i] <= t]
        self.known.update(new)
        if not self.known and not self._left:
            raise MaskError(
                f"{self._sequence.first_mask}: the first mask has no object: every pixel is 0 (or void), and no later "
                f"mask brings one; draw one, or take the video {self._sequence.name} out"
            )
        return np.where(np.isin(mask, new), mask, 0) if new else None

    def warnings(self) -> tuple[str, ...]:
        """Return notes about the files and masks, and objects that are listed but in no mask."""
        lost = sorted(self._sequence.objects.keys() - self.known)
        where = self._sequence.first_mask.parent
        missing = [f"{where}: no mask holds objects {lost}, which meta.json lists: not tracked"] if lost else []
        return (*self._sequence.notes, *self._masks.notes, *missing)


class VideoRun:
    """A video that a tracker segments.

    Args:
        tracker: tracker that no other video uses meanwhile; it is reset.
        sequence: the video.
        binary: merge all objects into one.
        write: called with each frame and its mask (h, w) of ids, in order. Frames before the first object get empty
            masks and are not passed to the tracker.

    Attributes:
        answer: answer to the frame passed to the tracker last; None when the video is over.
        error: error that ended it early, or None.
        frames, seconds, all_seconds: see `Timing`.
        masks: number of the tracker's masks that are written.
    """

    def __init__(
        self, tracker: FrameTracker, sequence: SplitVideo, binary: bool, write: Callable[[Path, np.ndarray], None]
    ) -> None:
        tracker.reset()
        self.tracker, self.sequence = tracker, sequence
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self.frames, self.seconds, self.all_seconds, self.masks = 0, 0.0, 0.0, 0
        self._write = write
        self._handed: deque[Path] = deque()  # frames passed to the tracker whose masks are not yet written
        self._inputs = self._read(binary)

    def next(self) -> Next | None:
        """Return the next frame for the tracker; None at the end, or if a file cannot be used."""
        try:
            return next(self._inputs, None)
        except (FrameError, MaskError, OSError) as error:
            self.error = error
            return None

    def put(self, labels: np.ndarray | None, answer: Answer | TrackError | None) -> None:
        """Write the labels of the previous frame, None at the start, and keep the answer to the current one."""
        if labels is not None:
            self._write(self._handed.popleft(), labels)
            self.masks += 1
        if isinstance(answer, TrackError):
            frame = self._handed[-1]
            mask = self.sequence.masks.get(frame.stem)
            self.error = TrackError(f"{frame}{f' with mask {mask}' if mask else ''}: {answer}")
        self.answer = None if isinstance(answer, TrackError) else answer

    def timing(self) -> Timing:
        """Return the timing of the finished video."""
        count, warnings = len(self.sequence.frames), self._given.warnings()
        return Timing(self.frames, self.seconds, count, self.all_seconds, warnings)

    def _read(self, binary: bool) -> Iterator[Next]:
        self._given = given = GivenMasks(self.sequence, binary)
        inputs = read_ahead((path, read_frame(path), given.at(t)) for t, path in enumerate(self.sequence.frames))
        begun = False
        for path, frame, mask in inputs:
            begun = begun or mask is not None
            if begun:
                self._handed.append(path)
                yield Next(self.tracker, frame, mask)
            else:
                self._write(path, np.zeros(frame.shape[:2], np.int32))


def segment(
    trackers: Iterable[FrameTracker],
    todo: deque[SplitVideo],
    folder: Path,
    writer: MaskWriter,
    binary: bool,
    tick: Callable[[], None],
    stop: threading.Event,
) -> Iterator[tuple[SplitVideo, Timing]]:
    """Segment videos on one device, as many at once as there are trackers, and write palette PNGs.

    After an error no new video starts; those under way are finished.

    Args:
        trackers: trackers of the device, each for one video at a time.
        todo: queue of videos, which other devices may share.
        folder: masks are written to `folder`/VIDEO/FRAME.png.
        writer: mask writer, entered as a context.
        binary: merge all objects into one.
        tick: called after every frame.
        stop: event that stops all videos after the current frame.

    Yields:
        A video and its timing, once its masks are on disk.

    Raises:
        FrameError, MaskError: a file cannot be used.
        TrackError: a mask or frame does not fit; the message names the file.
        OSError: a file cannot be read or written.
    """
    idle, videos, errors = list(trackers), list[VideoRun](), list[Exception]()

    def open_video(sequence: SplitVideo) -> VideoRun:
        video_folder = folder / sequence.name
        clear_remains(video_folder)

        def write(path: Path, labels: np.ndarray) -> None:
            writer.write(video_folder / f"{path.stem}.png", labels)
            tick()

        return VideoRun(idle.pop(), sequence, binary, write)

    while not stop.is_set():
        start = time.perf_counter()
        while idle and (sequence := _take(todo)) is not None:
            videos.append(open_video(sequence))
        if not videos:
            break
        _advance(videos)
        over = [video for video in videos if video.answer is None]
        if over:
            writer.flush()
        share = (time.perf_counter() - start) / len(videos)
        for video in videos:
            video.all_seconds += share
        for video in over:
            videos.remove(video)
            idle.append(video.tracker)
            if video.error is None:
                yield video.sequence, video.timing()
            else:
                errors.append(video.error)
                todo.clear()
    if errors:
        raise errors[0]


def _take(todo: deque[SplitVideo]) -> SplitVideo | None:
    try:
        return todo.popleft()
    except IndexError:  # another thread may have taken the last one
        return None


def _advance(videos: list[VideoRun]) -> None:
    """Segment the next frame of each video, while the masks of the previous frames are fetched and written."""
    items = [video.next() for video in videos]
    start = time.perf_counter()
    with Compilations() as compilations:
        answers = iter(advance_together([item for item in items if item is not None]))
        labels = [None if video.answer is None else video.answer.read() for video in videos]
    share = (time.perf_counter() - start) / len(videos)
    # First frames are not timed: they memorise the mask.
    steady = not compilations.count and all(video.masks for video in videos)
    for video, item, mask in zip(videos, items, labels, strict=True):
        if steady:
            video.seconds += share
            video.frames += item is not None
        video.put(mask, None if item is None else next(answers))
