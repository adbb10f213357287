"""Find videos and images with masks in raw folders: the official layouts and a user's own.

Pure file names: nothing is decoded here. `prepare.py` and `check.py` call it.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aot_jax.io.names import is_plain
from data_pipeline.errors import DataError

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Frame:
    """One image file and, where there is one, its mask."""

    name: str
    image: Path | None
    mask: Path | None


@dataclass(frozen=True)
class Video:
    """Frames in time order. Static images are videos of one frame, grouped by their set."""

    name: str
    group: str  # masks of a group share one convention: 0/255 or ids with 255 as void
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class Source:
    """Everything found for one dataset."""

    kind: str  # davis, youtube_vos, static or videos
    root: Path
    split: str
    videos: tuple[Video, ...]


def default_root() -> Path:
    """Return the raw data folder: $VOS_DATA, else ./data."""
    return Path(os.environ.get("VOS_DATA") or "data").expanduser()


def davis(root: Path, year: int, split: str = "train") -> Source:
    """List a split of DAVIS 2016 or 2017.

    Args:
      root: folder with JPEGImages/RESOLUTION, Annotations/RESOLUTION and ImageSets/YEAR/SPLIT.txt, or its parent.
      year: 2016 or 2017.
      split: name of a file in ImageSets/YEAR.

    Raises:
      DataError: no such folder or split.
    """
    root = _first(root, ("DAVIS", "."), lambda p: (p / "ImageSets").is_dir(), "a DAVIS folder (with ImageSets/)")
    listing = root / "ImageSets" / str(year) / f"{split}.txt"
    if not listing.is_file():
        have = ", ".join(sorted(str(p.relative_to(root)) for p in (root / "ImageSets").glob("*/*.txt"))) or "none"
        raise DataError(f"{listing} does not exist; splits there: {have}. Name one of these, as in davis17:val")
    # A line is a sequence, or in the 2016 lists a pair of paths whose last folder is the sequence.
    names = []
    try:
        lines = listing.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{listing}: cannot be read ({error}); unpack the set again") from error
    for line in lines:
        if line.strip():
            first = line.split()[0].strip("/")
            names.append(first.split("/")[-2] if "/" in first else first)
    _check_names(listing, names)
    resolution = _resolution(root)
    images, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    videos = tuple(_video(name, images / name, masks / name) for name in dict.fromkeys(names))
    return Source("davis", root, split, videos)


def youtube_vos(root: Path, year: int, split: str = "train") -> Source:
    """List a split of YouTube-VOS: the frames that meta.json names, for objects seen in two frames or more.

    Raises:
      DataError: no folder with meta.json, or a meta.json of another shape.
    """
    places = (f"YouTubeVOS/{year}/{split}", f"{year}/{split}", split, ".")
    root = _first(root, places, lambda p: (p / "meta.json").is_file(), f"YouTube-VOS {year} {split} (with meta.json)")
    try:
        entries = json.loads((root / "meta.json").read_text())["videos"]
        frames = {}
        for name in sorted(entries):
            objects = [entry["frames"] for entry in entries[name]["objects"].values()]
            frames[name] = sorted({frame for shown in objects if len(shown) > 1 for frame in shown})
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(
            f"{root / 'meta.json'}: not the meta.json of YouTube-VOS ({error!r}); unpack the set again"
        ) from error
    _check_names(root / "meta.json", frames)
    videos = tuple(
        _video(name, root / "JPEGImages" / name, root / "Annotations" / name, frames[name]) for name in frames
    )
    return Source("youtube_vos", root, split, videos)


def static(root: Path) -> Source:
    """List images with masks in JPEGImages/SET and Annotations/SET, every set there is.

    Raises:
      DataError: no such pair of folders.
    """
    root = _first(root, ("Static", "."), _has_pair, "JPEGImages/ and Annotations/")
    videos = []
    for folder in _folders(root / "Annotations"):
        for frame in _video(folder.name, root / "JPEGImages" / folder.name, folder).frames:
            videos.append(Video(f"{folder.name}/{frame.name}", folder.name, (frame,)))
    return Source("static", root, "train", tuple(videos))


def own_videos(root: Path) -> Source:
    """List a user's videos: JPEGImages/VIDEO/*.jpg with Annotations/VIDEO/*.png, where a frame may lack a mask.

    Raises:
      DataError: no such pair of folders.
    """
    root = _first(root, ("Videos", "."), _has_pair, "JPEGImages/ and Annotations/")
    names = sorted({p.name for part in ("JPEGImages", "Annotations") for p in _folders(root / part)})
    videos = tuple(_video(n, root / "JPEGImages" / n, root / "Annotations" / n) for n in names)
    return Source("videos", root, "train", videos)


def find(name: str, root: Path, split: str = "train") -> Source:
    """List the dataset of this name: davis16, davis17, youtube_vos18, youtube_vos19, static or videos."""
    if name in ("davis16", "davis17"):
        return davis(root, 2000 + int(name[-2:]), split)
    if name in ("youtube_vos18", "youtube_vos19"):
        return youtube_vos(root, 2000 + int(name[-2:]), split)
    if name == "static":
        return static(root)
    if name == "videos":
        return own_videos(root)
    raise DataError(
        f"unknown dataset {name!r}; use davis16, davis17, youtube_vos18, youtube_vos19, static, videos or generated"
    )


def _check_names(listing: Path, names: Iterable[str]) -> None:
    for name in names:
        if not is_plain(name):
            raise DataError(f"{listing}: {name!r} is no name of a video; unpack the set again")


def _resolution(root: Path) -> str:
    names = [p.name for p in _folders(root / "JPEGImages") if (root / "Annotations" / p.name).is_dir()]
    if "480p" in names:
        return "480p"
    if len(names) != 1:
        raise DataError(f"{root}: expected JPEGImages/480p and Annotations/480p, or one other pair; found {names}")
    return names[0]


def _video(name: str, images: Path, masks: Path, only: list[str] | None = None) -> Video:
    found_images, found_masks = _files(images, IMAGE_ENDINGS), _files(masks, (".png",))
    names = only if only is not None else sorted(found_images.keys() | found_masks.keys())
    return Video(name, name, tuple(Frame(n, found_images.get(n), found_masks.get(n)) for n in names))


def _files(folder: Path, endings: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.name.lower().endswith(endings) and not e.name.startswith("."))
    return {Path(n).stem: folder / n for n in names}


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") if folder.is_dir() else []


def _has_pair(root: Path) -> bool:
    return bool(_folders(root / "JPEGImages")) and (root / "Annotations").is_dir()


def _first(root: Path, places: tuple[str, ...], fits: Callable[[Path], bool], what: str) -> Path:
    for place in places:
        if fits(root / place):
            return root / place
    looked = ", ".join(str(root / place) for place in places)
    raise DataError(
        f"{what} not found; looked in {looked}. Name the raw data's folder with config.data.root or $VOS_DATA"
    )
