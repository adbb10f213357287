"""Track masks through a video, forward and then backward. Only a few frames are in memory at a time."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import numpy as np
from tqdm import tqdm

from aot_jax.io.mask_writer import MaskWriter
from aot_jax.io.masks import MaskError
from aot_jax.io.sources import Source, read_ahead
from aot_jax.io.video_reader import Frame
from aot_jax.runs import Run, RunError
from aot_jax.tracker.tracker import Tracker, TrackError
from aot_jax.video.prompts import Prompts
from aot_jax.video.results import mask_path, read_progress, save_progress


def track(
    tracker: Tracker,
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
    """Write the mask of every frame to the run's folder, resuming from saved progress.

    Frames are tracked from the first mask to the end, with later masks added on their frames; then from the first mask
    back to the start. With `backward` False, frames before the first mask get empty masks.

    Args:
        tracker: tracker to run.
        source: the video.
        prompts: given masks.
        run: results folder, entered as a context.
        backward: also track frames before the first mask.
        save_every: frames between saved states.
        stopped: called after each frame; True stops the run with everything saved.
        quiet: show no progress bar; None: show it on a terminal only.
        warn: called with each warning.

    Returns:
        True if finished, False if stopped.

    Raises:
        FrameError, MaskError, TrackError: a frame or mask cannot be used.
        RunError: a saved state does not match.
        OSError: a file cannot be written; finished masks stay.
    """
    with (
        MaskWriter() as writer,
        tqdm(total=source.expected, unit="frame", desc=source.name, disable=quiet, dynamic_ncols=True) as bar,
    ):
        walk = _Walk(tracker, source, prompts, run, writer, bar, save_every, stopped, warn, source.count is not None)
        if read_progress(run).stage == "forward":
            if not walk.stage("forward"):
                return False
            save_progress(run, "backward")
        if read_progress(run).stage == "backward":
            if prompts.first and not backward:
                walk.leave_empty()
            elif prompts.first and not walk.stage("backward"):
                return False
            save_progress(run, "done")
    return True


@dataclass
class _Walk:
    """Tracks the frames in one direction after the other, for `track`."""

    tracker: Tracker
    source: Source
    prompts: Prompts
    run: Run
    writer: MaskWriter
    bar: tqdm
    save_every: int
    stopped: Callable[[], bool]
    warn: Callable[[str], None]
    counted: bool  # the source knew its number of frames before it was read
    halted: bool = False

    def stage(self, name: str) -> bool:
        """Track in one direction; return False if stopped."""
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
        """Track the next `save_every` frames, or until stopped.

        Returns:
            Number of the last frame tracked, and whether there may be more.
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

    def leave_empty(self) -> None:
        """Write empty masks for the frames before the first mask."""
        empty = np.zeros_like(self.prompts.at(self.prompts.first))
        for index in range(self.prompts.first):
            self.writer.write(mask_path(self.run.folder, self.source, index), empty)
            self.bar.update()
        self.writer.flush()

    def _frames(self, stage: str, after: int | None) -> Iterator[Frame]:
        """Iterate over the frames of a stage after frame number `after`; None: all of them."""
        first = self.prompts.first
        if stage == "forward":
            return self.source.frames(first if after is None else after + 1)
        return self.source.backward(first + 1 if after is None else after)

    def _restore(self, stage: str) -> int | None:
        """Load the saved state of a stage; return its last finished frame, or None."""
        progress, first = read_progress(self.run), self.prompts.first
        finished = (self.source.expected or first) - first if stage == "backward" else 0
        state = progress.state if progress.stage == stage else None
        if state is not None:
            try:
                self.tracker.load_state(self.run.folder / state)
            except TrackError as error:
                raise RunError(f"{error}; start again with --overwrite") from error
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
