"""YouTube-VOS and LVOS: data sets whose meta.json lists videos, objects and the frames of each object."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from aot_jax.io.datasets.listing import (
    DataError,
    Dataset,
    ListedObject,
    check_names,
    list_folders,
    list_video,
    locate,
)
from aot_jax.io.names import is_plain

T = TypeVar("T")

# The 65 categories of the training set, used if its meta.json is not there.
_SEEN = """
airplane ape bear bike bird boat bucket bus camel cat cow crocodile deer dog dolphin duck eagle earless_seal
elephant fish fox frisbee frog giant_panda giraffe hand hat hedgehog horse knife leopard lion lizard monkey
motorbike mouse others owl paddle parachute parrot penguin person plant rabbit raccoon sedan shark sheep sign
skateboard snail snake snowboard squirrel surfboard tennis_racket tiger toilet train truck turtle umbrella
whale zebra
"""
YOUTUBE = """YouTubeVOS/{year}/
      {split}/meta.json
      {split}/JPEGImages/VIDEO/00000.jpg, 00005.jpg ...
      {split}/Annotations/VIDEO/00000.png ...         (of the validation set: frames where objects appear)
      {split}_all_frames/JPEGImages/VIDEO/00000.jpg, 00001.jpg ...    (for --all_frames)
  published at https://youtube-vos.org/dataset/vos ({split}.zip, {split}_all_frames.zip of {year})"""
LVOS = """{name}/
      val/JPEGImages/VIDEO/00000001.jpg ...
      val/Annotations/VIDEO/00000001.png, 00000006.png ...
      val/val_meta.json                   (or valid/ and valid_meta.json)
  published at https://lingyihongfd.github.io/lvos.github.io"""


def youtube_vos(root: Path, year: int, split: str = "train", shortest: int = 2, all_frames: bool = False) -> Dataset:
    """List a split of YouTube-VOS: the frames that meta.json names.

    Args:
        root: folder with meta.json, or one that holds YouTubeVOS/YEAR/SPLIT, YEAR/SPLIT or SPLIT.
        year: 2018 or 2019.
        split: train or valid.
        shortest: fewest frames of an object; objects with fewer are left out. Training needs 2.
        all_frames: list all frames of SPLIT_all_frames from the first named frame to the last.

    Raises:
        DataError: no such folder, or meta.json has another structure.
    """
    layout = YOUTUBE.format(year=year, split=split)
    root = locate(root, (f"YouTubeVOS/{year}/{split}", f"{year}/{split}", split, "."), "meta.json", layout)
    dense = root.with_name(f"{root.name}_all_frames") if all_frames else root
    for folder, part in ((dense, "JPEGImages"), (root, "Annotations")):
        locate(folder, (".",), part, layout)
    videos = []
    for name, things in _read(root / "meta.json", _object).items():
        objects = {i: thing for i, thing in things.items() if len(thing.frames) >= shortest}
        wanted = {frame for thing in objects.values() for frame in thing.frames}
        folders = (dense / "JPEGImages" / name, root / "Annotations" / name)
        video = list_video(name, *folders, None if all_frames else wanted, objects=objects)
        if all_frames:
            places = [t for t, pair in enumerate(video.frames) if pair.name in wanted]
            video = replace(video, frames=video.frames[places[0] : places[-1] + 1] if places else ())
        videos.append(video)
    return Dataset("youtube_vos", root, split, tuple(videos))


def seen_categories(root: Path) -> frozenset[str]:
    """Return the categories of YouTube-VOS' training set: from `root`/../train/meta.json, else the published list."""
    train = root.with_name("train") / "meta.json"
    if not train.is_file():
        return frozenset(_SEEN.split())
    return frozenset(
        thing.category for things in _read(train, _object).values() for thing in things.values() if thing.frames
    )


def lvos(root: Path, version: int) -> Dataset:
    """List the validation set of LVOS version 1 or 2: every fifth frame is annotated.

    With meta.json, an object is scored in the annotated frames of its range, whose end is excluded as in the official
    toolkit. Without it, objects are taken from the masks.

    Raises:
        DataError: no such folder, or meta.json has another structure.
    """
    name, other = ("LVOS", "LVOS_V1") if version == 1 else ("LVOS_V2", "LVOSv2")
    places = [f"{folder}/{split}" for folder in (name, other) for split in ("val", "valid")]
    root = locate(root, (*places, "val", "valid", "."), "JPEGImages", LVOS.format(name=name))
    files = [folder / f"{word}meta.json" for folder in (root, root.parent) for word in ("", "val_", "valid_")]
    meta = next((file for file in files if file.is_file()), None)
    things = _read(meta, _range) if meta else {}
    videos = []
    for folder in things or list_folders(root / "JPEGImages"):
        video = list_video(folder, root / "JPEGImages" / folder, root / "Annotations" / folder)
        annotated = [pair.name for pair in video.frames if pair.mask and pair.name.isdecimal()]
        objects = {
            i: ListedObject(tuple(n for n in annotated if int(n) in shown))
            for i, shown in things.get(folder, {}).items()
        }
        videos.append(replace(video, objects={i: thing for i, thing in objects.items() if thing.frames}))
    return Dataset("videos", root, "val", tuple(videos))


def _object(entry: Mapping[str, Any]) -> ListedObject:
    for frame in entry["frames"]:
        if not isinstance(frame, str) or not is_plain(frame):
            raise ValueError(f"{frame!r} is not a name of a frame")
    return ListedObject(tuple(sorted(entry["frames"])), str(entry.get("category", "")))


def _range(entry: Mapping[str, Any]) -> range:
    return range(int(entry["frame_range"]["start"]), int(entry["frame_range"]["end"]))


def _read(path: Path, read_object: Callable[[Mapping[str, Any]], T]) -> dict[str, dict[int, T]]:
    """Read {video: {object id: `read_object`(entry)}} from meta.json, videos sorted by name."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))["videos"]
        videos = {
            name: {int(i): read_object(entry) for i, entry in video["objects"].items()}
            for name, video in sorted(entries.items())
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: not such a meta.json as YouTube-VOS and LVOS publish ({error!r}); unpack the set again"
        ) from error
    check_names(path, videos)
    return videos
