"""Write a file whole or not at all, and say which one if that fails. Called by the rest of `evaluation`."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place beside `path` to write to; what is there at the end is moved to `path`. Folders are made.

    Raises:
        OSError: it names `path`.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def explain(error: OSError, output: Path) -> str:
    """Say what to do about a file of the folder `output` that could not be written."""
    where = error.filename or output
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some, or move the folder and name its new place with --output"
    else:
        remedy = "give a folder that you may write to with --output"
    return f"{where}: {what}: {remedy}. Finished videos are kept, and the same command goes on after them"
