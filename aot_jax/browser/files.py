"""Import and export of the page: mask files dropped on it, export formats, the results folder as a zip."""

import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aot_jax.browser.session import NOTHING, Session, SessionError
from aot_jax.errors import ReportedError
from aot_jax.io.files import atomic_write
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.mask_sets.files import list_masks
from aot_jax.io.masks import write_mask
from aot_jax.io.names import is_hidden
from aot_jax.io.sources import Source
from aot_jax.video.exports import EXPORTS
from aot_jax.video.render import render

OVERLAY = "overlay video"
FORMATS = [OVERLAY, *sorted(EXPORTS)]  # names of the exports on the page
NAME, DEPTH = 60, 5  # longest part, in characters, and most parts of a dropped file's path; the rest is cut off


def load_files(
    source: Source, index: int, given: Sequence[tuple[str, bytes]]
) -> tuple[dict[int, np.ndarray], list[str]]:
    """Read mask files dropped on the page, in all formats of `track.py --mask`; several are read as their folder.

    Args:
        source: the video.
        index: frame shown, used for a single mask; several are placed by their names.
        given: path in the dropped folder, or name, and content of each file. The parts of a path are sanitised and
            never lead to another folder.

    Returns:
        Labels (h, w) int32 by frame number, and notes on guesses.

    Raises:
        SessionError: the masks cannot be read, as in `read_masks`, or one fits no frame, or two have one name.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, data in given:
            parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")] or ["mask"]
            if any(map(is_hidden, parts)):
                continue
            path = Path(folder, *(re.sub(r"[^\w. -]", "_", part)[-NAME:] for part in parts[-DEPTH:]))
            if path.exists():
                raise SessionError(f"two of the files are named {name}; rename one")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            single = len(list_masks([folder])) == 1
            masks = read_masks(folder, source, frame=index if single else None)
            found = {}
            for name in masks:
                frame = source.index_of(name)
                if frame is None:
                    raise SessionError(f"a mask is named {name}, which no frame is")
                found[frame] = np.array(masks[name])
            return found, list(masks.notes)
        except (ReportedError, OSError) as error:
            raise SessionError(str(error).replace(f"{folder}{os.sep}", "").replace(folder, "these files")) from error


def export(
    session: Session, formats: Sequence[str], packed: bool, warn: Callable[[str], None]
) -> tuple[str, Path | None]:
    """Write exports to the results folder and, if `packed`, pack the folder into a zip.

    Returns:
        A message for the user, and the zip's path or None.
    """
    source, folder = session.source, session.folder
    missing = [i for i, kind in enumerate(session.status) if kind == NOTHING]
    text = f"Written to {folder}"
    if missing:
        text += f"; {len(missing)} of {len(session.status)} frames are not tracked yet, and their masks are empty"
    try:
        for index in missing:
            write_mask(session.mask_path(index), np.zeros(source.size, np.int32))
        ids = tuple(sorted(session.names))
        names = [name for name in formats if name != OVERLAY]
        render(source, folder, ids, overlay=OVERLAY in formats, exports=names, quiet=True, warn=warn)
        return text + ".", _pack(folder, source.name) if packed else None
    finally:  # otherwise these frames would count as tracked next time
        for index in missing:
            session.mask_path(index).unlink(missing_ok=True)


def _pack(folder: Path, name: str) -> Path:
    path = folder / f"{name}.zip"
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and inside.suffix != ".zip" and inside.name != "browser.json" and inside.name[0] != ".":
                archive.write(file, inside)
    return path
