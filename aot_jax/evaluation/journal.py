"""What a run has finished, so that a killed one goes on.

OUTPUT/.run/settings.json      what the masks were made with
OUTPUT/.run/videos/VIDEO.json  a finished video: its timing. Written when all of its masks are on disk
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from aot_jax.evaluation.splits import Sequence
from aot_jax.evaluation.timing import Timing
from aot_jax.io.files import atomic_write, clear_remains

FOLDER = ".run"
PATIENCE = 60.0  # seconds that files of other hosts may take to be seen on a shared disk


class JournalError(ValueError):
    """An output folder that holds another run, or lacks what other hosts should have written."""


class Journal:
    """The record of a run.

    Args:
        output: folder of the run.
        masks: folder in it that holds a folder of masks for each video.
    """

    def __init__(self, output: Path, masks: Path) -> None:
        self._folder = output / FOLDER
        self._output = output
        self._masks = masks

    def begin(self, settings: Mapping[str, object], overwrite: bool = False) -> None:
        """Check that the folder is this run's or new, and that it can be written to.

        Args:
            settings: of all that changes masks; values that JSON knows.
            overwrite: forget what was finished.

        Raises:
            JournalError: the folder holds a run with other settings; lists them.
            OSError: it cannot be written.
        """
        path = self._folder / "settings.json"
        settings = json.loads(json.dumps(dict(settings)))
        if overwrite:
            for record in self._folder.rglob("*.json"):
                record.unlink()
        for folder in (self._output, self._folder, self._folder / "videos"):
            clear_remains(folder)
        old = _read(path)
        if old is None:
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(settings, indent=2) + "\n")
        elif old != settings:
            different = [
                f"  {name}: {old.get(name)!r} there, {settings.get(name)!r} now"
                for name in sorted(old.keys() | settings.keys())
                if old.get(name) != settings.get(name)
            ]
            raise JournalError(
                f"{self._output} holds masks of another run:\n" + "\n".join(different) + "\n"
                "give another folder with --output, or begin again with --overwrite"
            )

    def finished(self, sequence: Sequence) -> Timing | None:
        """Return the timing of a video whose masks are all there, else None."""
        record = _read(self._folder / "videos" / f"{sequence.name}.json")
        if record is None:
            return None
        try:
            timing = Timing(**record | {"warnings": tuple(record["warnings"])})
        except (TypeError, KeyError):
            return None
        folder = self._masks / sequence.name
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        complete = all(f"{frame.stem}.png" in there for frame in sequence.frames)
        return timing if complete and timing.all_frames == len(sequence.frames) else None

    def finish(self, sequence: Sequence, timing: Timing) -> None:
        """Record a video; all of its masks must be on disk."""
        with atomic_write(self._folder / "videos" / f"{sequence.name}.json") as temporary:
            temporary.write_text(json.dumps(asdict(timing)) + "\n")

    def all_finished(self, sequences: Iterable[Sequence]) -> dict[str, Timing]:
        """Return the timings of all videos, those of other hosts too.

        Raises:
            JournalError: one is not there, after a while.
        """
        timings, until = {}, time.monotonic() + PATIENCE
        for sequence in sequences:
            while (timing := self.finished(sequence)) is None:
                if time.monotonic() > until:
                    raise JournalError(
                        f"{self._masks / sequence.name}: another host should have written its masks; "
                        "give a folder that all hosts share with --output"
                    )
                time.sleep(0.2)
            timings[sequence.name] = timing
        return timings


def _read(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return content if isinstance(content, dict) else None
