"""What a run has done so far, kept beside its results so that it can be continued.

    OUTPUT/progress.json         settings, stage, last finished frame, name of the tracker's state
    OUTPUT/state-STAGE-FRAME     the tracker's state after that frame

The state is written before the record that names it, and that one replaces its predecessor at once: a run killed at any
moment finds a pair that fits.
"""

import errno
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from aot_jax.io.files import atomic_write, clear_remains

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
STAGES = ("forward", "backward", "done")


class RecordError(ValueError):
    """Results that cannot be continued, or would be overwritten."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    stage: str = "forward"
    frame: int | None = None  # last one of the stage that is finished and saved; None: the stage begins
    state: str | None = None  # file of the tracker's state after that frame


class Record:
    """The record of a run in its output folder.

    Args:
        folder: of the results; made if missing.
        settings: JSON values; what must be the same for a run to be continued.
        resume: continue the run that is there, if any.
        overwrite: begin anew where results are.

    Raises:
        RecordError: results are there and neither is asked for, they come from other settings, or the folder cannot be
            written.
        OSError: the disk is full.
    """

    def __init__(
        self, folder: Path, settings: dict[str, object], *, resume: bool = False, overwrite: bool = False
    ) -> None:
        self.folder = folder
        self._path = folder / "progress.json"
        self._settings = json.loads(json.dumps(settings))
        self.progress = Progress()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for own in (folder, folder / "masks"):
                clear_remains(own)
            if resume and self._path.exists():
                self.progress = self._read()
                return
            self._begin(overwrite, resume)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise RecordError(
                f"{folder}: results cannot be written there ({error.strerror}); choose another --output"
            ) from error

    def _begin(self, overwrite: bool, resume: bool) -> None:
        if any(path != self._path for path in self.folder.iterdir()) and not (overwrite or resume):
            raise RecordError(
                f"{self.folder} holds something already: continue that run with --resume, begin anew with --overwrite, "
                "or choose another --output"
            )
        masks = self.folder / "masks"
        if overwrite and self._path.exists() and masks.is_dir():  # a run's own
            for old in (*masks.glob("*.png"), self.folder / "overlay.mp4", self.folder / "coco.json"):
                old.unlink(missing_ok=True)
        self._write()
        self._clear()

    def save(self, stage: str, frame: int | None = None, save_state: Callable[[Path], None] | None = None) -> None:
        """Record that frames of `stage` up to `frame` are on disk; `save_state` writes the tracker's state to a path.

        Raises:
            OSError: if it cannot be written; the record before stays.
        """
        state = None
        if save_state is not None:
            state = _state_name(stage, frame)
            save_state(self.folder / state)
        self.progress = Progress(stage, frame, state)
        self._write()
        self._clear()

    def state_path(self) -> Path | None:
        """Return where the tracker's state of the record is."""
        return self.folder / self.progress.state if self.progress.state else None

    def _read(self) -> Progress:
        try:
            content = json.loads(self._path.read_text())
            progress = Progress(**content["progress"])
            settings = dict(content["settings"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"{self._path} is not readable ({error}); begin anew with --overwrite") from None
        expected = progress.state is None or progress.state == _state_name(progress.stage, progress.frame)
        if (
            progress.stage not in STAGES
            or not isinstance(progress.frame, int | None)
            or not expected
            or (progress.state and not (self.folder / progress.state).exists())
        ):
            raise RecordError(f"{self._path} does not fit what is beside it; begin anew with --overwrite")
        different = [
            f"{name} was {settings.get(name)!r} and is {value!r}"
            for name, value in self._settings.items()
            if settings.get(name) != value
        ]
        if different:
            raise RecordError(
                f"{self.folder} holds a run with other settings: {'; '.join(different)}. Give the same ones, or begin "
                "anew with --overwrite"
            )
        return progress

    def _write(self) -> None:
        content = {"settings": self._settings, "progress": asdict(self.progress)}
        with atomic_write(self._path) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n")

    def _clear(self) -> None:
        """Remove states that the record does not name."""
        for old in self.folder.glob("state-*"):
            if old.name != self.progress.state:
                old.unlink()


def _state_name(stage: str, frame: int | None) -> str:
    return f"state-{stage}-{frame}"
