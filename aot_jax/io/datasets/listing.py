"""What a raw data set holds, as values, and how folders and lists of names are read for every layout."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aot_jax.io.frames import FRAME_SUFFIXES, FrameError, list_frames, order_frames
from aot_jax.io.names import is_plain

MASK_SUFFIXES = (".png",)


class DataError(ValueError):
    """Says which file, record or field of a data set is wrong, and what to do about it."""


@dataclass(frozen=True)
class FramePair:
    """The image and the mask of one frame, either of which may be missing."""

    name: str  # of both files, without suffix
    image: Path | None
    mask: Path | None


@dataclass(frozen=True)
class ListedObject:
    """What a set's meta.json says of one object."""

    frames: tuple[str, ...]  # names, in order: the first brings its mask
    category: str = ""


@dataclass(frozen=True)
class Video:
    """Frames in time order. A still image is a video of one frame."""

    name: str
    images: Path  # folder
    masks: Path  # folder
    frames: tuple[FramePair, ...]
    group: str  # masks of a group share one convention: 0/255, or ids with 255 as void
    objects: Mapping[int, ListedObject] = field(default_factory=dict)  # by id; empty: as the masks tell


@dataclass(frozen=True)
class Dataset:
    """Everything found for one data set."""

    kind: str  # davis, youtube_vos, static or videos
    root: Path
    split: str
    videos: tuple[Video, ...]


def data_root(folder: str | Path | None = None) -> Path:
    """Return the folder of raw data sets: `folder`, else $VOS_DATA, else ./data."""
    return Path(folder or os.environ.get("VOS_DATA") or "data").expanduser()


def locate(root: Path, places: Sequence[str], needed: str, layout: str) -> Path:
    """Return the first of `places` in `root` that holds the file or folder `needed`.

    Raises:
        DataError: none does; it says what was looked for, and the layout wanted.
    """
    for place in places:
        if (root / place / needed).exists():
            return root / place
    others = f" (nor in {', '.join(str(root / place) for place in places[1:])})" if len(places) > 1 else ""
    raise DataError(
        f"{root / places[0] / needed} does not exist{others}. Wanted, in the folder given by --data of eval.py, "
        f"--config.data.root of train.py, $VOS_DATA, or ./data:\n  {layout}"
    )


def read_names(path: Path) -> list[str]:
    """Read the names of videos from a list: one a line, or a frame's path, whose last folder is the video.

    Raises:
        DataError: it cannot be read, is empty, or a line is no name of a folder.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save it as UTF-8 text, one name a line") from error
    names = []
    for line in filter(None, map(str.strip, lines)):
        parts = line.strip("/").split("/")
        names.append(parts[-2] if len(parts) > 1 else parts[0])
    check_names(path, names)
    return list(dict.fromkeys(names))


def check_names(path: Path, names: Iterable[str]) -> None:
    """Refuse names of a list or meta.json that reach outside of the folder of videos."""
    names = list(names)
    if not names:
        raise DataError(f"{path}: lists no video; unpack the set again")
    for name in names:
        if not is_plain(name):
            raise DataError(f"{path}: {name!r} is no name of a video; unpack the set again")


def list_folders(folder: Path) -> list[str]:
    """List the folders in a folder by name, hidden ones left out; none where it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_video(
    name: str,
    images: Path,
    masks: Path,
    only: Iterable[str] | None = None,
    group: str | None = None,
    objects: Mapping[int, ListedObject] | None = None,
) -> Video:
    """Pair the images and masks of one video, in the order of frames that tracking uses.

    Args:
        name: of the video.
        images: folder; where it is missing no frame has an image.
        masks: folder, likewise.
        only: names of the frames; None: of every image and mask there is.
        group: of the masks; None: the video's own.
        objects: that a meta.json lists.

    Raises:
        DataError: two files would be the same frame.
    """
    found, labels = (_files(*where) for where in ((images, FRAME_SUFFIXES), (masks, MASK_SUFFIXES)))
    names = set(found.keys() | labels.keys() if only is None else only)
    order = [path.stem for path in order_frames(Path(f"{stem}.png") for stem in names)]
    pairs = tuple(FramePair(stem, found.get(stem), labels.get(stem)) for stem in order)
    return Video(name, images, masks, pairs, group or name, objects or {})


def list_masks(folder: Path) -> dict[str, Path]:
    """Return {frame's name: mask}, in the order of frames; empty where there is none.

    Raises:
        DataError: two files would be the same frame.
    """
    return _files(folder, MASK_SUFFIXES)


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return {frame's name: file}; empty where there is none."""
    if not folder.is_dir() or not any(path.suffix.lower() in suffixes for path in folder.iterdir()):
        return {}
    try:
        return {path.stem: path for path in list_frames(folder, suffixes)}
    except FrameError as error:
        raise DataError(str(error)) from None
