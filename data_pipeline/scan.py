"""Prepare a set without records: check every file once, store the ids of masks, and leave images where they are.

The ids of a mask may depend on other masks of the set, so they are stored: in FOLDER/raw-NAME-SPLIT-FINGERPRINT, as
Annotations/VIDEO/FRAME.png, with the rest in index.json. An image is stored there too, in JPEGImages/VIDEO, only if
training cannot read its file directly: one that EXIF rotates, or a frame of a procedural video. The fingerprint is that
of `prepare.py`.
"""

import json
from pathlib import Path

from aot_jax.io.datasets import Dataset
from aot_jax.io.files import write_text
from aot_jax.io.generated import Recipe
from data_pipeline.records import PreparedSet
from data_pipeline.walk import Walk


def scan(name: str, what: Dataset | Recipe, folder: Path, on_bad_file: str) -> PreparedSet:
    """Open a set of raw files; check them first if that was not done yet. The caller holds the lock on preparation.

    Args:
      name: name of the set.
      what: the files, or the recipe of procedural videos.
      folder: where masks and the index are stored.
      on_bad_file: "stop" or "skip".

    Raises:
      DataError: a bad file (named), or nothing to train on.
    """
    images = {}
    if isinstance(what, Dataset):
        images = {(video.name, pair.name): pair.image for video in what.videos for pair in video.frames if pair.image}
    try:
        return _open(name, folder, images)
    except (OSError, ValueError, LookupError, TypeError):  # the index is missing or damaged
        _write(what, folder, images, on_bad_file)
    return _open(name, folder, images)


def _write(what: Dataset | Recipe, folder: Path, images: dict[tuple[str, str], Path], on_bad_file: str) -> None:
    walk = Walk(what, on_bad_file)
    for video, frame in walk:
        _place(folder, "Annotations", video, frame.name).write_bytes(frame.mask)
        raw_image = images.get((video, frame.name))
        if raw_image is None or raw_image.read_bytes() != frame.image:
            _place(folder, "JPEGImages", video, frame.name).write_bytes(frame.image)
    write_text(folder / "index.json", json.dumps(walk.found))


def _place(folder: Path, part: str, video: str, frame: str) -> Path:
    path = folder / part / video / f"{frame}.png"  # .png for JPEGs too: they are recognised by their first bytes
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _open(name: str, folder: Path, images: dict[tuple[str, str], Path]) -> PreparedSet:
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
        folder=folder,
        files=(),
        lengths=(),
        videos=tuple(found["videos"]),
        left_out=tuple(found["left_out"]),
        raw=tuple(raw),
    )
