"""Result folders: settings and progress of a run, resume and overwrite, a lock against other processes.

A run is identified by its settings, JSON values by name; `settings.fields_for` picks those of a config. Settings and
progress are stored in a record in the folder, which is written atomically.
"""

import contextlib
import errno
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from aot_jax.errors import ReportedError
from aot_jax.io.files import clear_remains, write_text
from aot_jax.settings import differences

LOCK = ".lock"
RECORD = "progress.json"  # default name of a record
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors of a full disk or quota
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}  # errors of a file system without locks


class RunError(ReportedError):
    """A folder that holds another run, is in use by one, or has a record that cannot be used."""


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock an existing folder against other processes that lock it. A killed process releases its lock.

    Raises:
        RunError: if another process holds the lock.
        OSError: if the folder cannot be written to.
    """
    held = FileLock(folder / LOCK)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"{folder} is in use by another run: wait until it has ended, or choose another folder"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        if held.is_locked:
            (folder / LOCK).unlink(missing_ok=True)
        held.release()


def keep_inputs(folder: Path, inputs: Iterable[Path], patterns: Sequence[str]) -> None:
    """Check that no input is a file in a results folder that results replace, or that --overwrite removes.

    Args:
        folder: results folder; it may be missing.
        inputs: given files.
        patterns: glob patterns of results, relative to the folder.

    Raises:
        RunError: an input matches a pattern.
    """
    home, homes = folder.resolve(), dict[Path, Path]()
    for path in inputs:
        place = homes.setdefault(path.parent, path.parent.resolve()) / path.name
        if place.is_relative_to(home):
            inside = place.relative_to(home)
            if any(inside.match(pattern) and len(inside.parts) == len(Path(pattern).parts) for pattern in patterns):
                raise RunError(
                    f"{folder}: results would be written over or among the given {path}; choose another --output"
                )


def read_json(path: Path) -> dict[str, Any]:
    """Read an object that `write_json` wrote; {} if there is no file.

    Raises:
        RunError: if the file holds something else.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is not readable ({error}); start again with --overwrite") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object to a JSON file atomically."""
    write_text(path, json.dumps(dict(content), indent=2) + "\n")


class Run:
    """A run and its folder; a context manager that holds the folder's lock.

    FOLDER/RECORD is JSON: {"settings": the run's settings, "progress": the last argument of `save`}.

    Args:
        folder: folder of the results; created if missing.
        settings: JSON values that the results depend on.
        resume: continue the run in the folder, if any.
        overwrite: start again in a folder with results.
        record: name of the record file.
        results: glob patterns of the files that a run writes; removed on overwrite.

    Raises:
        RunError: on entering, if the folder holds results and neither flag is set, or they have other settings, or
            another process holds the lock, or the folder cannot be written to.
        OSError: if the disk is full.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
        record: str = RECORD,
        results: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.record = folder / record
        self.progress: dict[str, Any] = {}
        self._settings = json.loads(json.dumps(dict(settings)))
        self._resume, self._overwrite, self._results = resume, overwrite, results
        self._stack = contextlib.ExitStack()

    def load(self) -> None:
        """Read the progress from the record.

        Raises:
            RunError: it cannot be read, or is that of a run with other settings.
        """
        content = read_json(self.record)
        settings, progress = content.get("settings"), content.get("progress")
        if not isinstance(settings, dict) or not isinstance(progress, dict):
            raise RunError(f"{self.record} is not readable (no settings or progress); start again with --overwrite")
        if different := differences(settings, self._settings):
            raise RunError(
                f"{self.folder} holds a run with other settings:\n  "
                + "\n  ".join(different)
                + "\ngive the same ones, choose another --output, or start again with --overwrite"
            )
        self.progress = progress

    def save(self, progress: Mapping[str, Any]) -> None:
        """Write the progress to the record, after the results that it counts as finished are on disk.

        Raises:
            OSError: if it cannot be written; the old record stays.
        """
        write_json(self.record, {"settings": self._settings, "progress": dict(progress)})
        self.progress = dict(progress)

    def __enter__(self) -> "Run":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock(self.folder))
                for folder in {self.folder, *((self.folder / pattern).parent for pattern in self._results)}:
                    clear_remains(folder)
                if self._resume and not self._overwrite and self.record.exists():
                    self.load()
                else:
                    self._start_run()
                self._stack = stack.pop_all()
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise RunError(
                f"{self.folder}: results cannot be written there ({error.strerror}); choose another --output"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start_run(self) -> None:
        others = [path for path in self.folder.iterdir() if path not in (self.record, self.folder / LOCK)]
        if others and not (self._overwrite or self._resume):
            raise RunError(
                f"{self.folder} holds something already: continue it with --resume, start again with --overwrite, "
                "or choose another --output"
            )
        if self._overwrite and self.record.exists():  # only a run's own files
            for pattern in self._results:
                for old in self.folder.glob(pattern):
                    old.unlink()
        self.save({})
