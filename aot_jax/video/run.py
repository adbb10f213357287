"""Carry masks through a video, forward and then backward, frame by frame.

Masks are on disk before the record counts their frames. Nothing here holds more than a few frames.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from aot_jax.io.mask_writer import MaskWriter
from aot_jax.io.masks import MaskError
from aot_jax.io.sources import Source, read_ahead
from aot_jax.io.video_reader import Frame
from aot_jax.tracker.tracker import TrackError
from aot_jax.video.prompts import Prompts
from aot_jax.video.record import Record, RecordError


class StepTracker(Protocol):
    """What a video is run with: `Tracker`, or anything that steps like one."""

    def reset(self) -> None:
        """Forget the video before."""

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Segment the next frame."""

    def save_state(self, path: Path) -> None:
        """Write what `load_state` needs."""

    def load_state(self, path: Path) -> None:
        """Go on after the frame at which a state was saved."""


def mask_path(folder: Path, source: Source, index: int) -> Path:
    """Return where the mask of a frame is in the results folder."""
    return folder / "masks" / f"{source.label(index)}.png"


def track(
    tracker: StepTracker,
    source: Source,
    prompts: Prompts,
    record: Record,
    *,
    backward: bool = True,
    save_every: int = 100,
    stopped: Callable[[], bool] = lambda: False,
    quiet: bool | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> bool:
    """Write the mask of every frame to the record's folder, going on from where the record is.

    From the first mask to the end, later masks joining on their frames; then from the first mask to the start, or
    with `backward` False empty masks there.

    Args:
        tracker: a network that steps.
        source: the video.
        prompts: masks on frames.
        record: of the results folder.
        backward: also track frames before the first mask.
        save_every: frames between records that a run can be continued from.
        stopped: asked after each frame; True ends the run with everything saved.
        quiet: show no progress bar; None: where there is no terminal.
        warn: called with each warning.

    Returns:
        Whether all is done; False if it was stopped.

    Raises:
        FrameError, MaskError, TrackError: for a frame or mask that does not fit.
        RecordError: for a saved state that does not.
        OSError: if a file cannot be written; finished frames stay.
    """
    with (
        MaskWriter() as writer,
        tqdm(total=source.count, unit="frame", desc=source.name, disable=quiet, dynamic_ncols=True) as bar,
    ):
        run = _Run(tracker, source, prompts, record, writer, bar, save_every, stopped, warn)
        if record.progress.stage == "forward":
            if not run.stage("forward"):
                return False
            record.save("backward")
        if record.progress.stage == "backward":
            if prompts.first and not (run.stage("backward") if backward else run.leave_empty()):
                return False
            record.save("done")
    return True


class _Run:
    """The parts of `track`."""

    def __init__(
        self,
        tracker: StepTracker,
        source: Source,
        prompts: Prompts,
        record: Record,
        writer: MaskWriter,
        bar: tqdm,
        save_every: int,
        stopped: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.tracker, self.source, self.prompts, self.record = tracker, source, prompts, record
        self.writer, self.bar, self.save_every, self.stopped, self.warn = writer, bar, save_every, stopped, warn

    def stage(self, name: str) -> bool:
        """Track one way; returns False if stopped."""
        self.tracker.reset()
        last, since = self._restore(name), 0
        for frame in read_ahead(self._frames(name, last)):
            given = name == "forward" or frame.index == self.prompts.first
            labels = self.tracker.step(frame.pixels, self.prompts.at(frame.index) if given else None)
            if name == "forward" or frame.index < self.prompts.first:
                self.writer.write(mask_path(self.record.folder, self.source, frame.index), labels)
                self.bar.update()
            last, since = frame.index, since + 1
            stop = self.stopped()
            if since >= self.save_every or stop:
                self.writer.flush()
                self.record.save(name, last, self.tracker.save_state)
                since = 0
            if stop:
                return False
        self.writer.flush()
        if name == "forward":
            self._check_reached(last)
        return True

    def leave_empty(self) -> bool:
        """Write masks without objects for the frames before the first mask."""
        empty = np.zeros_like(self.prompts.at(self.prompts.first))
        for index in range(self.prompts.first):
            self.writer.write(mask_path(self.record.folder, self.source, index), empty)
            self.bar.update()
        self.writer.flush()
        return True

    def _frames(self, stage: str, after: int | None) -> Iterator[Frame]:
        """Return the stage's frames that follow `after`; None: all."""
        first = self.prompts.first
        if stage == "forward":
            return self.source.frames(first if after is None else after + 1)
        return self.source.backward(first + 1 if after is None else after)

    def _restore(self, stage: str) -> int | None:
        """Bring the tracker to where the record is; returns the last frame that is done, None: none is."""
        progress, first = self.record.progress, self.prompts.first
        finished = (self.source.count or first) - first if stage == "backward" else 0
        state = self.record.state_path() if progress.stage == stage else None
        if state is not None:
            try:
                self.tracker.load_state(state)
            except TrackError as error:
                raise RecordError(f"{error}; begin anew with --overwrite") from error
            assert progress.frame is not None, "a state is that of a frame"
            finished += abs(progress.frame - first) + (stage == "forward")
        self.bar.update(finished - self.bar.n)
        return None if state is None else progress.frame

    def _check_reached(self, last: int | None) -> None:
        if last is None:
            raise MaskError(
                f"the first mask is for frame {self.prompts.first}, but {self.source.name} has only "
                f"{self.source.count} frames, numbered from 0: name a frame that it has"
            )
        if self.prompts.last > last:
            self.warn(f"masks for frames after {last}, the last of {self.source.name}, were not used")
