"""Prepare a set where records cannot be written: every file is checked once, and images are used where they are.

What a mask's values mean is decided over many files, so the ids are stored: in FOLDER/raw-NAME-SPLIT-FINGERPRINT, as
Annotations/VIDEO/FRAME.png, with index.json for the rest. An image lies beside them, in JPEGImages/VIDEO, only where
training does not read its file as it is: one that EXIF turns, or one of a procedural video. The fingerprint is that of
`prepare.py`.
"""

import json
from pathlib import Path

from aot_jax.io.datasets import Dataset
from aot_jax.io.files import atomic_write
from aot_jax.io.generated import Recipe
from data_pipeline.records import PreparedSet
from data_pipeline.walk import Walk


def scan(name: str, split: str, what: Dataset | Recipe, folder: Path, on_bad_file: str) -> PreparedSet:
    """Open a set of raw files; check them first where that is not done yet. Nobody else may do so meanwhile.

    Args:
      name: of the set.
      split: of the set.
      what: the files, or the procedural videos.
      folder: of what is stored.
      on_bad_file: "stop" or "skip".

    Raises:
      DataError: a bad file (named), or nothing to train on.
    """
    images = {}
    if isinstance(what, Dataset):
        images = {(video.name, pair.name): pair.image for video in what.videos for pair in video.frames if pair.image}
    try:
        return _open(name, split, folder, images)
    except (OSError, ValueError, LookupError, TypeError):  # it is missing or damaged
        _write(what, folder, images, on_bad_file)
    return _open(name, split, folder, images)


def _write(what: Dataset | Recipe, folder: Path, images: dict[tuple[str, str], Path], on_bad_file: str) -> None:
    walk = Walk(what, on_bad_file)
    for video, frame in walk:
        _place(folder, "Annotations", video, frame.name).write_bytes(frame.mask)
        own = images.get((video, frame.name))
        if own is None or own.read_bytes() != frame.image:
            _place(folder, "JPEGImages", video, frame.name).write_bytes(frame.image)
    with atomic_write(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(walk.found), encoding="utf-8")


def _place(folder: Path, part: str, video: str, frame: str) -> Path:
    path = folder / part / video / f"{frame}.png"  # a JPEG too is known by its first bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _open(name: str, split: str, folder: Path, images: dict[tuple[str, str], Path]) -> PreparedSet:
    found = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    stored = {path.relative_to(folder): path for path in folder.rglob("*.png")}
    raw = []
    for video in found["videos"]:
        for frame in video["frames"]:
            place = Path(video["name"]) / f"{frame}.png"
            image = stored.get("JPEGImages" / place) or images[video["name"], frame]
            raw.append((image, stored["Annotations" / place]))
    return PreparedSet(
        name=name,
        kind=found["kind"],
        split=split,
        folder=folder,
        files=(),
        lengths=(),
        videos=tuple(found["videos"]),
        left_out=tuple(found["left_out"]),
        raw=tuple(raw),
    )
