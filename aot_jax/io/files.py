"""Write a file whole or not at all.

What is being written lies beside its place, as `.NAME.RANDOM.tmp`: nobody can have put a link there before, and what a
killed run leaves is known by that name.
"""

import contextlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

_OURS = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # so that nothing of a person's own is ever removed


def beside(path: str | Path) -> Path:
    """Return a name in the folder of `path` that nothing has, for what becomes `path`."""
    path = Path(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a place beside `path` to write to; what is there at the end is moved to `path`. Folders are made.

    Raises:
        OSError: it names `path`.
    """
    path = Path(path)
    temporary = beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def empty_folder(folder: Path, *patterns: str) -> None:
    """Make a folder; files in it that fit a pattern, as of a longer run before, are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for old in folder.glob(pattern):
            old.unlink()


def clear_remains(folder: str | Path) -> None:
    """Remove what a killed run has left of files that it was writing to a folder, which may be missing."""
    for path in Path(folder).glob(".*.tmp"):
        if _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
