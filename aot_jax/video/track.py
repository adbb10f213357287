"""Carry masks through a video, forward and then backward, frame by frame.

    OUTPUT/masks/                masks of the frames
    OUTPUT/progress.json         settings, stage, last finished frame, name of the tracker's state
    OUTPUT/state-STAGE-FRAME     the tracker's state after that frame

Masks are on disk before the record counts their frames, and a state before the record that names it: a run killed at
any moment can go on. Nothing here holds more than a few frames.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from aot_jax.io.mask_writer import MaskWriter
from aot_jax.io.masks import MaskError
from aot_jax.io.sources import Source, read_ahead
from aot_jax.io.video_reader import Frame
from aot_jax.runs import Run, RunError
from aot_jax.tracker.tracker import TrackError
from aot_jax.video.prompts import Prompts

STAGES = ("forward", "backward", "done")
# Files of a run, removed where another begins anew.
RESULTS = (
    *("masks/*.png", "state-*", "overlay.mp4"),
    *("coco.json", "coco_images/*", "binary/*/*", "mattes/*.*", "mattes/*/*"),
)


class StepTracker(Protocol):
    """What a video is run with: `Tracker`, or anything that streams like one."""

    def reset(self) -> None:
        """Forget the video before."""

    def stream(self, frames: Iterator[tuple[np.ndarray, np.ndarray | None]]) -> Iterator[np.ndarray]:
        """Segment frames that come with their masks; where they end, the state is that of the last one."""

    def save_state(self, path: Path) -> None:
        """Write what `load_state` needs."""

    def load_state(self, path: Path) -> None:
        """Go on after the frame at which a state was saved."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    stage: str = "forward"
    frame: int | None = None  # last one of the stage that is finished and saved; None: the stage begins
    state: str | None = None  # file of the tracker's state after that frame


def read_progress(run: Run) -> Progress:
    """Return how far the run in a folder is.

    Raises:
        RunError: the record does not fit what is beside it.
    """
    try:
        progress = Progress(**run.progress)
        expected = None if progress.state is None else state_name(progress.stage, progress.frame)
        if (
            progress.stage in STAGES
            and isinstance(progress.frame, int | None)
            and progress.state == expected
            and (expected is None or (run.folder / expected).exists())
        ):
            return progress
    except TypeError:
        pass
    raise RunError(f"{run.record} does not fit what is beside it; begin anew with --overwrite")


def save_progress(
    run: Run, stage: str, frame: int | None = None, save_state: Callable[[Path], None] | None = None
) -> None:
    """Record that frames of `stage` up to `frame` are on disk; `save_state` writes the tracker's state to a path.

    Raises:
        OSError: if it cannot be written; the record before stays.
    """
    state = None if save_state is None else state_name(stage, frame)
    if save_state is not None and state is not None:
        save_state(run.folder / state)
    run.save(asdict(Progress(stage, frame, state)))
    for old in run.folder.glob("state-*"):
        if old.name != state:
            old.unlink()


def state_name(stage: str, frame: int | None) -> str:
    """Return the name of the file that holds the tracker's state after a frame."""
    return f"state-{stage}-{frame}"


def mask_path(folder: Path, source: Source, index: int) -> Path:
    """Return where the mask of a frame is in the results folder."""
    return folder / "masks" / f"{source.label(index)}.png"


def track(
    tracker: StepTracker,
    source: Source,
    prompts: Prompts,
    run: Run,
    *,
    backward: bool = True,
    save_every: int = 100,
    stopped: Callable[[], bool] = lambda: False,
    quiet: bool | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> bool:
    """Write the mask of every frame to the run's folder, going on from where it is.

    From the first mask to the end, later masks joining on their frames; then from the first mask to the start, or
    with `backward` False empty masks there.

    Args:
        tracker: a network that steps.
        source: the video.
        prompts: masks on frames.
        run: its results folder, entered.
        backward: also track frames before the first mask.
        save_every: frames between records that a run can be continued from.
        stopped: asked after each frame; True ends the run with everything saved.
        quiet: show no progress bar; None: where there is no terminal.
        warn: called with each warning.

    Returns:
        Whether all is done; False if it was stopped.

    Raises:
        FrameError, MaskError, TrackError: for a frame or mask that does not fit.
        RunError: for a saved state that does not.
        OSError: if a file cannot be written; finished frames stay.
    """
    with (
        MaskWriter() as writer,
        tqdm(total=source.expected, unit="frame", desc=source.name, disable=quiet, dynamic_ncols=True) as bar,
    ):
        walk = _Walk(tracker, source, prompts, run, writer, bar, save_every, stopped, warn)
        if read_progress(run).stage == "forward":
            if not walk.stage("forward"):
                return False
            save_progress(run, "backward")
        if read_progress(run).stage == "backward":
            if prompts.first and not (walk.stage("backward") if backward else walk.leave_empty()):
                return False
            save_progress(run, "done")
    return True


class _Walk:
    """The parts of `track`."""

    def __init__(
        self,
        tracker: StepTracker,
        source: Source,
        prompts: Prompts,
        run: Run,
        writer: MaskWriter,
        bar: tqdm,
        save_every: int,
        stopped: Callable[[], bool],
        warn: Callable[[str], None],
    ) -> None:
        self.tracker, self.source, self.prompts, self.run = tracker, source, prompts, run
        self.counted = source.count is not None
        self.halted = False
        self.writer, self.bar, self.save_every, self.stopped, self.warn = writer, bar, save_every, stopped, warn

    def stage(self, name: str) -> bool:
        """Track one way; returns False if stopped."""
        self.tracker.reset()
        last = self._restore(name)
        with closing(read_ahead(self._frames(name, last))) as frames:
            more = True
            while more:
                last, more = self._part(name, frames, last)
                self.writer.flush()
                if more:
                    save_progress(self.run, name, last, self.tracker.save_state)
                if self.halted:
                    return False
        if name == "forward":
            self._check_reached(last)
        return True

    def _part(self, name: str, frames: Iterator[Frame], last: int | None) -> tuple[int | None, bool]:
        """Track the next `save_every` frames, or up to a stop, so that the tracker is at the last one.

        Returns:
            The last frame, and whether there may be more.
        """
        given: deque[int] = deque()
        count = 0

        def hand_over() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
            for frame in islice(frames, self.save_every):
                masked = name == "forward" or frame.index == self.prompts.first
                given.append(frame.index)
                yield frame.pixels, self.prompts.at(frame.index) if masked else None
                if self.stopped():
                    self.halted = True
                    return

        for labels in self.tracker.stream(hand_over()):
            last, count = given.popleft(), count + 1
            if name == "forward" or last < self.prompts.first:
                self.writer.write(mask_path(self.run.folder, self.source, last), labels)
                self.bar.update()
        return last, self.halted or count == self.save_every

    def leave_empty(self) -> bool:
        """Write masks without objects for the frames before the first mask."""
        empty = np.zeros_like(self.prompts.at(self.prompts.first))
        for index in range(self.prompts.first):
            self.writer.write(mask_path(self.run.folder, self.source, index), empty)
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
        """Bring the tracker to where the run is; returns the last frame that is done, None: none is."""
        progress, first = read_progress(self.run), self.prompts.first
        finished = (self.source.expected or first) - first if stage == "backward" else 0
        state = progress.state if progress.stage == stage else None
        if state is not None:
            try:
                self.tracker.load_state(self.run.folder / state)
            except TrackError as error:
                raise RunError(f"{error}; begin anew with --overwrite") from error
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
        if last == 0 and not self.counted:
            self.warn(f"{self.source.name}: a single frame, so there is nothing to track through")
        if self.prompts.last > last:
            self.warn(f"masks for frames after {last}, the last of {self.source.name}, were not used")
