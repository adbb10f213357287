"""Write files atomically, through a temporary file.

The temporary file is `.NAME.RANDOM.tmp` in the same folder. Its name cannot be predicted, so nobody can place a link
there in advance, and the pattern identifies files that a killed run left.
"""

import contextlib
import glob
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

WILDCARDS = "*?["
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")  # strict, so that a user's own files are never removed


def beside(path: str | Path) -> Path:
    """Return an unused path in the same folder, for a temporary file that will become `path`."""
    path = Path(path)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield the path of a temporary file and move it to `path` at the end. Missing folders are made.

    Raises:
        OSError: the file cannot be written; the error names `path`.
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


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8, whatever the locale, atomically; file names keep their bytes.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def expand(pattern: str | Path) -> list[Path]:
    """Return the paths that a glob matches, without hidden ones; the path itself if it exists or has no wildcard."""
    path = Path(pattern)
    if path.exists() or not any(sign in str(pattern) for sign in WILDCARDS):
        return [path]
    return [Path(found).absolute() for found in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207 (it hides files)


def empty_folder(folder: Path, *patterns: str) -> None:
    """Make a folder and remove files in it that match a pattern, such as those of an earlier, longer run."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        for old in folder.glob(pattern):
            old.unlink()


def clear_remains(folder: str | Path) -> None:
    """Remove temporary files that a killed run left in a folder; it may be missing."""
    for path in Path(folder).glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)
