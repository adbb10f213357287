"""YouTube-VOS 2018 and 2019, validation: videos, objects and their frames from meta.json."""

import json
from pathlib import Path

from aot_jax.evaluation.layout import Object, Sequence, Split, SplitError, missing
from aot_jax.io.frames import FrameError, list_frames
from aot_jax.io.names import is_plain

# Of the training set: 65. Used where its meta.json is not beside that of the validation set.
_SEEN = """
airplane ape bear bike bird boat bucket bus camel cat cow crocodile deer dog dolphin duck eagle earless_seal
elephant fish fox frisbee frog giant_panda giraffe hand hat hedgehog horse knife leopard lion lizard monkey
motorbike mouse others owl paddle parachute parrot penguin person plant rabbit raccoon sedan shark sheep sign
skateboard snail snake snowboard squirrel surfboard tennis_racket tiger toilet train truck turtle umbrella
whale zebra
"""
SEEN = frozenset(_SEEN.split())


def layout(year: int) -> str:
    """Describe the folders of the validation set."""
    return f"""YouTubeVOS/{year}/
      valid/meta.json
      valid/JPEGImages/VIDEO/00000.jpg, 00005.jpg ...
      valid/Annotations/VIDEO/00000.png ...         (frames where objects appear)
      valid_all_frames/JPEGImages/VIDEO/00000.jpg, 00001.jpg ...    (for --all_frames)
  published at https://youtube-vos.org/dataset/vos (valid.zip, valid_all_frames.zip of {year})"""


def youtubevos(name: str, data: Path, all_frames: bool) -> Split:
    """Find a validation set under `data`, as YouTubeVOS/YEAR/valid, YEAR/valid or valid.

    With `all_frames`, videos run from their first to their last annotated frame.

    Raises:
        SplitError: a file is missing, or meta.json is not what it should be.
    """
    year = 2000 + int(name[-2:])
    places = [data / place for place in (f"YouTubeVOS/{year}/valid", f"{year}/valid", "valid")]
    root = next((place for place in places if (place / "meta.json").is_file()), places[0])
    images = root.with_name("valid_all_frames") / "JPEGImages" if all_frames else root / "JPEGImages"
    for path in (root / "meta.json", images, root / "Annotations"):
        if not path.exists():
            raise missing(name, path, layout(year))
    videos = _read_meta(root / "meta.json")
    if not videos or not all(videos.values()):
        empty = next((video for video, objects in videos.items() if not objects), "no video")
        raise SplitError(f"{root / 'meta.json'}: {empty} has no object with frames; unpack the set again")
    sequences = tuple(_sequence(video, objects, images, root, all_frames) for video, objects in videos.items())
    train = root.with_name("train") / "meta.json"
    seen = SEEN
    if train.is_file():
        seen = frozenset(thing.category for things in _read_meta(train).values() for thing in things.values())
    return Split(
        name,
        sequences,
        root / "Annotations",
        scoring="objects",
        folder="Annotations",
        archive=f"{name}.zip",
        server=f"the YouTube-VOS {year} server, see https://youtube-vos.org/dataset/vos",
        seen=seen,
    )


def _read_meta(path: Path) -> dict[str, dict[int, Object]]:
    """Read {video: {id: Object}}."""
    try:
        videos = {
            name: {
                int(i): Object(tuple(sorted(map(str, thing["frames"]))), str(thing.get("category", "")))
                for i, thing in video["objects"].items()
            }
            for name, video in json.loads(path.read_text())["videos"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SplitError(f"{path}: not the meta.json of YouTube-VOS ({error!r}); unpack the set again") from error
    for name in videos:
        if not is_plain(name):
            raise SplitError(f"{path}: {name!r} is no name of a video; unpack the set again")
    # In the training set a few objects have no frame.
    return {name: {i: thing for i, thing in things.items() if thing.frames} for name, things in videos.items()}


def _sequence(name: str, objects: dict[int, Object], images: Path, root: Path, all_frames: bool) -> Sequence:
    wanted = sorted({frame for thing in objects.values() for frame in thing.frames})
    try:
        frames = {path.stem: path for path in list_frames(images / name)}
    except FrameError as error:
        raise SplitError(f"{root / 'meta.json'} lists {name}, but {error}") from error
    lost = [stem for stem in wanted if stem not in frames]
    if lost:
        raise SplitError(
            f"{root / 'meta.json'} lists frame {lost[0]} of {name}, but {images / name / lost[0]}.jpg does not exist; "
            f"unpack the set again ({len(lost)} of {len(wanted)} frames are missing)"
        )
    stems = list(frames)
    chosen = stems[stems.index(wanted[0]) : stems.index(wanted[-1]) + 1] if all_frames else wanted
    masks = {stem: path for stem in wanted if (path := root / "Annotations" / name / f"{stem}.png").is_file()}
    for i, thing in objects.items():
        if thing.frames[0] not in masks:
            raise SplitError(
                f"{root / 'Annotations' / name / thing.frames[0]}.png: no such mask, but object {i} of {name} first "
                "appears there; unpack the set again"
            )
    return Sequence(name, tuple(frames[stem] for stem in chosen), masks, objects, tuple(wanted))
