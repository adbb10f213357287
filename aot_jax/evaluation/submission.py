"""Pack masks as a benchmark's server takes them."""

import zipfile
from pathlib import Path

from aot_jax.evaluation.splits import Split
from aot_jax.io.files import atomic_write

_DATE = (1980, 1, 1, 0, 0, 0)  # the same masks make the same bytes


def write_archive(split: Split, output: Path) -> Path:
    """Write `output`/`split.archive` from the masks of the frames that count, and return it.

    Names in it are `split.folder`/VIDEO/FRAME.png: YouTube-VOS wants a folder Annotations, DAVIS videos at the root.

    Raises:
        OSError: a mask is missing, or the archive cannot be written.
    """
    archive = output / split.archive
    with atomic_write(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as pack:
        for sequence in split.sequences:
            for stem in sequence.stems:
                path = output / split.folder / sequence.name / f"{stem}.png"
                entry = zipfile.ZipInfo(path.relative_to(output).as_posix(), _DATE)
                entry.external_attr = 0o644 << 16
                pack.writestr(entry, path.read_bytes())
    return archive
