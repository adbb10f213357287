"""Say which file of a run could not be written, and what to do."""

import errno
from pathlib import Path


def explain(error: OSError, output: Path) -> str:
    """Say what to do about a file of the folder `output` that could not be written."""
    where = error.filename or output
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some, or move the folder and name its new place with --output"
    else:
        remedy = "give a folder that you may write to with --output"
    return f"{where}: {what}: {remedy}. Finished videos are kept, and the same command goes on after them"
