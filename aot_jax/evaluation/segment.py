"""Segment one video of a split, reading and writing files in the background."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import jax
import numpy as np

from aot_jax.evaluation.splits import Sequence
from aot_jax.evaluation.timing import Timing
from aot_jax.io.frames import read_frame
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.mask_writer import MaskWriter
from aot_jax.io.masks import MaskError, binarise
from aot_jax.io.sources import read_ahead
from aot_jax.metrics import object_ids
from aot_jax.tracker.tracker import TrackError
from aot_jax.typing import VOID


class VideoTracker(Protocol):
    """Interface of `Tracker` that `segment` uses."""

    def reset(self) -> None:
        """Forget the previous video."""

    def stream(self, frames: Iterator[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[np.ndarray]:
        """Yield labels (h, w) for (frame, mask or None) pairs."""


class CompileCount:
    """Counts the compilations of the current thread, to leave frames that wait for one out of timings."""

    _event = "/jax/core/compile/backend_compile_duration"
    _own = threading.local()  # JAX reports a compilation in the thread that waits for it
    _lock = threading.Lock()
    _listening = False

    @classmethod
    def value(cls) -> int:
        """Return the number of programs this thread has compiled since the first call."""
        with cls._lock:
            if not cls._listening:
                jax.monitoring.register_event_duration_secs_listener(cls._hear)
                cls._listening = True
        return getattr(cls._own, "count", 0)

    @classmethod
    def _hear(cls, event: str, *_: object, **__: object) -> None:
        cls._own.count = getattr(cls._own, "count", 0) + (event == cls._event)


class GivenMasks:
    """Masks given to a tracker: each object in the first frame where it appears.

    Args:
        sequence: the video.
        binary: merge all objects into one.
    """

    def __init__(self, sequence: Sequence, binary: bool) -> None:
        self._sequence = sequence
        self._binary = binary
        numbers = {frame.stem: t for t, frame in enumerate(sequence.frames)}
        files = {stem: sequence.masks[stem] for stem in numbers if stem in sequence.masks}
        self._masks = read_masks(files, void=VOID if binary else 0, keep_going=True)
        self._left = len(files)
        self._starts = {i: numbers[thing.frames[0]] for i, thing in sequence.objects.items()}
        self.known: set[int] = set()

    def at(self, t: int) -> np.ndarray | None:
        """Return the new objects of frame t, (h, w) ids, or None. Call it for every frame, in order.

        Raises:
            MaskError: a mask cannot be read, or no mask has an object (raised at the last one).
        """
        objects, stem = self._sequence.objects, self._sequence.frames[t].stem
        if stem not in self._masks or (objects and self.known >= objects.keys()):
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


def segment(
    tracker: VideoTracker,
    sequence: Sequence,
    folder: Path,
    writer: MaskWriter,
    binary: bool = False,
    tick: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> Timing | None:
    """Segment a video and write palette PNGs to `folder`/FRAME.png; all are on disk when this returns.

    Frames before the first object get empty masks and are not passed to the tracker.

    Args:
        tracker: a `Tracker`.
        sequence: the video.
        folder: folder for its masks.
        writer: mask writer, entered as a context.
        binary: merge all objects into one.
        tick: called after every frame.
        stop: event that stops the run after the current frame.

    Returns:
        The timing; None if stopped.

    Raises:
        FrameError, MaskError: a file cannot be used.
        TrackError: a mask or frame does not fit; the message names the file.
        OSError: a mask cannot be written.
    """
    began = time.perf_counter()
    given = GivenMasks(sequence, binary)
    inputs = read_ahead((path, read_frame(path), given.at(t)) for t, path in enumerate(sequence.frames))
    handed: list[Path] = []  # frames passed to the tracker
    reading = 0.0  # time spent waiting for frames, in seconds

    def hand_over() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        nonlocal reading
        start = time.perf_counter()
        for path, frame, mask in inputs:
            reading += time.perf_counter() - start
            if handed or mask is not None:
                handed.append(path)
                yield frame, mask
            else:
                write(path, np.zeros(frame.shape[:2], np.int32))
            start = time.perf_counter()

    def write(path: Path, labels: np.ndarray) -> None:
        writer.write(folder / f"{path.stem}.png", labels)
        tick()

    tracker.reset()
    seconds, frames, written = 0.0, 0, 0
    answers = tracker.stream(hand_over())
    while True:
        compiled, start, seen = CompileCount.value(), time.perf_counter() - reading, len(handed)
        try:
            labels = next(answers, None)
        except TrackError as error:
            mask = sequence.masks.get(handed[-1].stem)
            raise TrackError(f"{handed[-1]}{f' with mask {mask}' if mask else ''}: {error}") from None
        if written and CompileCount.value() == compiled:  # not the first frames, which memorise the mask
            seconds += time.perf_counter() - reading - start
            frames += len(handed) - seen
        if labels is None:
            break
        write(handed[written], labels)
        written += 1
        if stop is not None and stop.is_set():
            return None
    writer.flush()
    return Timing(frames, seconds, len(sequence.frames), time.perf_counter() - began, given.warnings())
