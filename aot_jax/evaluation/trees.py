"""DAVIS, and folders laid out like it: JPEGImages/[480p/]SEQUENCE and Annotations/[480p/]SEQUENCE."""

from pathlib import Path

from aot_jax.evaluation.layout import Sequence, Split, SplitError, missing
from aot_jax.io.frames import FrameError, list_frames
from aot_jax.io.names import is_plain

LISTINGS = {"davis16": "2016/val.txt", "davis17": "2017/val.txt", "davis17_testdev": "2017/test-dev.txt"}

_DAVIS = """DAVIS/
      JPEGImages/480p/SEQUENCE/00000.jpg ...
      Annotations/480p/SEQUENCE/00000.png ...
      ImageSets/2016/val.txt, ImageSets/2017/val.txt
  published at https://davischallenge.org (TrainVal 480p)"""
_TESTDEV = """DAVIS/
      JPEGImages/480p/SEQUENCE/00000.jpg ...
      Annotations/480p/SEQUENCE/00000.png
      ImageSets/2017/test-dev.txt
  published at https://davischallenge.org (Test-Dev 2017 480p; unpack it over TrainVal)"""
_FOLDER = """JPEGImages/VIDEO/*.jpg           or JPEGImages/480p/VIDEO/*.jpg
      Annotations/VIDEO/FIRST_FRAME.png, with further masks where objects appear later
  name that folder itself with --data"""
LAYOUTS = {"davis16": _DAVIS, "davis17": _DAVIS, "davis17_testdev": _TESTDEV, "folder": _FOLDER}


def davis(name: str, data: Path, resolution: str) -> Split:
    """Find a split of DAVIS in `data`/DAVIS, or in `data` itself if it is a DAVIS folder."""
    root = data if (data / "JPEGImages").is_dir() else data / "DAVIS"
    return listed(name, root, resolution, LISTINGS[name])


def listed(name: str, root: Path, resolution: str, listing: str) -> Split:
    """Find the sequences that ImageSets/`listing` names. The mask of a sequence's first frame is given."""
    names_file = root / "ImageSets" / listing
    images, given = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    annotations = root / "Annotations" / "480p"
    for path in (images, given, annotations, names_file):
        if not path.exists():
            raise missing(name, path, LAYOUTS.get(name, _DAVIS))
    sequences = []
    # The 2016 lists of the toolkit hold paths, the 2017 lists names.
    try:
        lines = names_file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SplitError(f"{names_file}: cannot be read ({error}); unpack the set again") from error
    names = [line.split()[0].strip("/").split("/") for line in lines if line.strip()]
    for sequence in dict.fromkeys(parts[-2] if len(parts) > 1 else parts[0] for parts in names):
        if not is_plain(sequence):
            raise SplitError(f"{names_file}: {sequence!r} is no name of a sequence; unpack the set again")
        frames = tuple(list_frames(images / sequence))
        first = given / sequence / f"{frames[0].stem}.png"
        if not first.is_file():
            raise SplitError(
                f"{names_file} lists {sequence}, but its first mask {first} does not exist; "
                "unpack the set again, or take the sequence off the list"
            )
        sequences.append(Sequence(sequence, frames, {frames[0].stem: first}))
    if not sequences:
        raise SplitError(f"{names_file} lists no sequence; unpack the set again")
    if name == "davis17_testdev":
        server = "the DAVIS 2017 test-dev server, see https://davischallenge.org"
        return Split(name, tuple(sequences), annotations, archive=f"{name}.zip", server=server)
    return Split(name, tuple(sequences), annotations, binary=name == "davis16")


def folder(root: Path) -> Split:
    """Find every video of a folder. Objects come with the first mask that holds them."""
    resolution = "480p" if (root / "JPEGImages" / "480p").is_dir() else "."
    images, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    for path in (images, masks):
        if not path.is_dir():
            raise missing("folder", path, _FOLDER)
    sequences = []
    for video in sorted(path for path in images.iterdir() if path.is_dir() and not path.name.startswith(".")):
        frames = tuple(list_frames(video))
        stems = {frame.stem for frame in frames}
        try:
            given = {path.stem: path for path in list_frames(masks / video.name, (".png",))}
        except FrameError:
            given = {}
        if not given.keys() & stems:
            raise SplitError(
                f"{masks / video.name / (frames[0].stem + '.png')}: no such mask, nor one of another frame of "
                f"{video}; draw one for the frame where the first object appears, or move the video elsewhere"
            )
        if given.keys() - stems:
            raise SplitError(
                f"{given[min(given.keys() - stems)]}: there is no frame of this name in {video}; "
                "rename the mask after its frame"
            )
        sequences.append(Sequence(video.name, frames, given))
    if not sequences:
        raise SplitError(f"{images}: no folder of frames in it. Wanted:\n  {_FOLDER}")
    return Split("folder", tuple(sequences), masks, scoring="objects")
