"""The record of a run, by which the page and a plain `track.py --resume` continue each other's work."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aot_jax.errors import ReportedError
from aot_jax.io.sources import Source
from aot_jax.runs import RECORD, Run, RunError, read_json
from aot_jax.video.prompts import read_prompts
from aot_jax.video.results import DRAWN, Progress, read_progress, save_progress


class Record:
    """Progress of the run in a results folder, and the tracker's state there.

    Args:
        source: the video.
        folder: results folder.
        settings: returns the run's settings, given the digest of its masks (`Prompts.digest`).
    """

    def __init__(self, source: Source, folder: Path, settings: Callable[[str], Mapping[str, Any]]) -> None:
        self._source, self._folder, self._settings = source, folder, settings
        self._digest: str | None = None  # None: not read since the given masks changed

    def progress(self) -> Progress | None:
        """Return the progress; None if there is none, or that of a run with other settings or masks."""
        run = self._run()
        try:
            if run is not None and run.record.exists():
                run.load()
                return read_progress(run)
        except RunError:
            pass
        return None

    def state(self, stage: str, frame: int) -> Path | None:
        """Return the file of the tracker's state after a frame of a stage; None if there is none."""
        progress = self.progress()
        if progress is None or progress.state is None or (progress.stage, progress.frame) != (stage, frame):
            return None
        return self._folder / progress.state

    def save(self, stage: str, frame: int | None = None, save_state: Callable[[Path], None] | None = None) -> None:
        """Write progress and state as `save_progress` does, unless nothing tells which masks were given."""
        run = self._run()
        if run is not None:
            save_progress(run, stage, frame, save_state)

    def given_changed(self) -> None:
        """Read the given masks again before the next use of the record."""
        self._digest = None

    def drop(self) -> None:
        """Remove progress and state, since masks have changed: a run then starts from the given ones."""
        self.given_changed()
        (self._folder / RECORD).unlink(missing_ok=True)
        for path in self._folder.glob("state-*"):
            path.unlink()

    def _run(self) -> Run | None:
        if self._digest is None:
            given = self._folder / DRAWN
            try:
                if any(given.glob("*.png")):
                    self._digest = read_prompts(self._source, [str(given)]).digest
                else:  # the command began the run, and its masks are elsewhere
                    self._digest = str(read_json(self._folder / RECORD)["settings"]["prompts"])
            except (ReportedError, LookupError, TypeError):
                return None
        return Run(self._folder, self._settings(self._digest))
