"""Types that describe a raw data set, and functions that read its folders and name lists in any layout."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aot_jax.errors import ReportedError
from aot_jax.io.frames import FrameError, list_frames, order_frames
from aot_jax.io.images import IMAGE_SUFFIXES
from aot_jax.io.mask_sets.files import LOSSLESS
from aot_jax.io.names import is_hidden, is_plain


class DataError(ReportedError):
    """A file, record or field of a data set is wrong; the message names it and the remedy."""


@dataclass(frozen=True)
class FramePair:
    """The image and the mask of one frame, either of which may be missing."""

    name: str  # name of both files, without suffix
    image: Path | None
    mask: Path | None


@dataclass(frozen=True)
class ListedObject:
    """One object as listed in meta.json."""

    frames: tuple[str, ...]  # names, in order; the object's mask is given in the first
    category: str = ""


@dataclass(frozen=True)
class Video:
    """Frames in time order. A still image is a video of one frame."""

    name: str
    images: Path  # folder
    masks: Path  # folder
    frames: tuple[FramePair, ...]
    group: str  # group whose masks share one convention: 0/255, or ids with 255 as void
    objects: Mapping[int, ListedObject] = field(default_factory=dict)  # by id; empty: taken from the masks
    notes: tuple[str, ...] = ()  # guesses made about its files, one line each


@dataclass(frozen=True)
class Dataset:
    """The videos of one split of a data set."""

    kind: str  # davis, youtube_vos, static or videos
    root: Path
    split: str
    videos: tuple[Video, ...]


def data_root(folder: str | Path | None = None) -> Path:
    """Return the folder of raw data sets: `folder`, else $VOS_DATA, else ./data."""
    return Path(folder or os.environ.get("VOS_DATA") or "data").expanduser()


def locate(root: Path, places: Sequence[str], needed: str, layout: str) -> Path:
    """Return the first of `places` in `root` that contains the file or folder `needed`.

    Raises:
        DataError: none does; the message shows the expected layout.
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
    """Read video names from a text file. A line is a name, or the path of a frame in the video's folder.

    Raises:
        DataError: the file cannot be read or is empty, or a line is not a folder name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); save it as UTF-8 text, one name a line") from error
    names = []
    for line in filter(None, map(str.strip, lines)):
        parts = line.strip("/").split("/")
        names.append(os.fsdecode((parts[-2] if len(parts) > 1 else parts[0]).encode()))  # as `os.listdir` decodes names
    check_names(path, names)
    return list(dict.fromkeys(names))


def check_names(path: Path, names: Iterable[str]) -> None:
    """Check that names from a list or meta.json stay inside the folder of videos.

    Raises:
        DataError: there are no names, or one leads elsewhere.
    """
    names = list(names)
    if not names:
        raise DataError(f"{path}: lists no video; unpack the set again")
    for name in names:
        if not is_plain(name):
            raise DataError(f"{path}: {name!r} is not a name of a video; unpack the set again")


def list_folders(folder: Path) -> list[str]:
    """List the names of visible folders in a folder, sorted; empty if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))


def list_video(
    name: str,
    images: Path,
    masks: Path,
    only: Iterable[str] | None = None,
    stills: bool = False,
    objects: Mapping[int, ListedObject] | None = None,
) -> Video:
    """Pair the images and masks of one video, in the frame order that tracking uses.

    Args:
        name: name of the video.
        images: folder of images; if it is missing, no frame has an image.
        masks: folder of masks, likewise.
        only: frame names to list; None: those of all images and masks.
        stills: take every image, even one that looks like a mask or a thumbnail.
        objects: objects listed in meta.json, by id.

    Raises:
        DataError: two files have the same frame name.
    """
    notes: list[str] = []
    every = None if only is None and not stills else IMAGE_SUFFIXES
    found, labels = _files(images, every, notes.append), list_masks(masks)
    names = set(found.keys() | labels.keys() if only is None else only)
    if not stills and (hint := numbering_hint(list(found), list(labels), whose="the images")):
        notes.append(f"{masks}: {hint}")
    order = [path.stem for path in order_frames(Path(f"{stem}.png") for stem in names)]
    pairs = tuple(FramePair(stem, found.get(stem), labels.get(stem)) for stem in order)
    return Video(name, images, masks, pairs, name, objects or {}, tuple(notes))


def numbering_hint(
    names: Sequence[str], others: Sequence[str], whose: str = "the ground truth", more: bool = False
) -> str:
    """Return a hint if other files seem numbered from another start than the frames, or named differently; else "".

    Args:
        names: frame names, in order.
        others: names of the other files, in order.
        whose: what `names` belong to, for the message.
        more: the video has more frames than `names`.

    Example:
        >>> numbering_hint(["0", "1", "2"], ["1", "2", "3"])
        'numbered from 1, the ground truth from 0; frames are matched by name: if they show the same, rename one'
    """
    if not names or not others or names[0] == others[0]:
        return ""
    if not set(names) & set(others):
        return f"named like {others[0]}, {whose} like {names[0]}; frames are matched by name: rename one"
    ends = [re.search(r"[0-9]+$", name) for name in (names[0], others[0], names[-1], others[-1])]
    numbers = [int(end.group()) for end in ends if end]
    if len(numbers) < 4:
        return ""
    shifted = numbers[1] - numbers[0] == numbers[3] - numbers[2]
    if not shifted and not (more and names[0] not in others and numbers[3] > numbers[2]):
        return ""
    return (
        f"numbered from {others[0]}, {whose} from {names[0]}; frames are matched by name: "
        "if they show the same, rename one"
    )


def list_masks(folder: Path) -> dict[str, Path]:
    """Return {frame name: mask file}, in frame order; empty if there are no masks.

    JPEGs are masks only if there is no other image in the folder, and no subfolder.

    Raises:
        DataError: two files have the same frame name.
    """
    return _files(folder, LOSSLESS) or ({} if list_folders(folder) else _files(folder, IMAGE_SUFFIXES))


def _files(
    folder: Path, suffixes: tuple[str, ...] | None, warn: Callable[[str], None] = lambda _: None
) -> dict[str, Path]:
    """Return {frame name: file}; empty if there are none. Arguments as in `list_frames`."""
    endings = suffixes or IMAGE_SUFFIXES
    if not folder.is_dir() or not any(path.suffix.lower() in endings for path in folder.iterdir()):
        return {}
    try:
        return {path.stem: path for path in list_frames(folder, suffixes, warn)}
    except FrameError as error:
        raise DataError(str(error)) from None
