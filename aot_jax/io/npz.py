"""Read arrays that others packed, without unpickling and within bounds."""

import zipfile
from pathlib import Path

import numpy as np

MAX_BYTES = 2**32  # of all arrays of a file; a megabyte of zip can claim a gigabyte of zeros


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz.

    Raises:
        Exception: of many kinds, if the file is broken, holds objects to be unpickled, or claims too much.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(
            "it is no zip archive, or was cut off"
        )  # NumPy would tell how to load it in spite of the danger
    with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        claimed = sum(entry.file_size for entry in file.zip.infolist())
        if claimed > MAX_BYTES:
            raise ValueError(f"it claims {claimed} bytes, more than {MAX_BYTES}")
        return dict(file)
