"""Read untrusted .npz files, without unpickling and with a size limit."""

import zipfile
from pathlib import Path

import numpy as np

MAX_BYTES = 2**32  # largest total size of the arrays in a file, in bytes; a megabyte of zip can expand to a gigabyte


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz.

    Raises:
        Exception: of any type, if the file is broken, holds pickled objects or claims more than `MAX_BYTES`.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a zip archive, or is truncated")  # NumPy's message would suggest allow_pickle
    with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        claimed = sum(entry.file_size for entry in file.zip.infolist())
        if claimed > MAX_BYTES:
            raise ValueError(f"it claims {claimed} bytes, more than {MAX_BYTES}")
        return dict(file)
