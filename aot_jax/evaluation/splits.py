"""The splits that `eval.py` knows: which frames, which given masks, which ground truth. Called by `run.py`."""

import os
from dataclasses import dataclass
from pathlib import Path

from aot_jax.evaluation import generated
from aot_jax.io.frames import list_frames

SPLITS = ("davis16", "davis17", "generated")

LAYOUTS = {
    "davis": """DAVIS/
      JPEGImages/480p/SEQUENCE/00000.jpg ...
      Annotations/480p/SEQUENCE/00000.png ...
      ImageSets/2016/val.txt, ImageSets/2017/val.txt
  published at https://davischallenge.org (TrainVal 480p)""",
}


class SplitError(ValueError):
    """A split whose files are not where they are looked for."""


@dataclass(frozen=True)
class Sequence:
    """One video of a split."""

    name: str
    frames: tuple[Path, ...]  # images in order
    first_mask: Path  # of frame 0


@dataclass(frozen=True)
class Split:
    """A set of videos and how they are scored."""

    name: str
    sequences: tuple[Sequence, ...]
    annotations: Path  # folder with a folder of masks for each sequence
    binary: bool  # all objects are one (DAVIS 2016)


def data_root(data: str | Path | None) -> Path:
    """Return the folder of datasets: `data`, else $VOS_DATA, else ./data."""
    return Path(data or os.environ.get("VOS_DATA") or "data")


def load_split(name: str, data: str | Path | None = None, resolution: str = "480p") -> Split:
    """Find the files of a split.

    Args:
        name: one of SPLITS.
        data: folder that holds DAVIS/, or that is a DAVIS folder itself; None: $VOS_DATA or ./data.
        resolution: 480p, or Full-Resolution, whose results are written and scored at 480p all the same.

    Raises:
        SplitError: names the file looked for, the layout wanted and where the set is published.
    """
    if name == "generated":
        return _listed(name, generated.held_out_folder(), "480p", "2017")
    if name not in SPLITS:
        raise SplitError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")
    return _davis(name, data_root(data), resolution)


def _davis(name: str, data: Path, resolution: str) -> Split:
    root = data if (data / "JPEGImages").is_dir() else data / "DAVIS"
    return _listed(name, root, resolution, {"davis16": "2016", "davis17": "2017"}[name])


def _listed(name: str, root: Path, resolution: str, year: str) -> Split:
    """Find the sequences that ImageSets/YEAR/val.txt lists."""
    listing = root / "ImageSets" / year / "val.txt"
    images, given = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    annotations = root / "Annotations" / "480p"
    for path in (images, given, annotations, listing):
        if not path.exists():
            raise SplitError(
                f"split {name} needs {path}, which does not exist. Wanted, in the folder given by --data "
                f"(or $VOS_DATA, or ./data):\n  {LAYOUTS['davis']}"
            )
    sequences = []
    # The 2016 lists of the toolkit hold paths, the 2017 lists names.
    names = [line.split()[0].strip("/").split("/") for line in listing.read_text().splitlines() if line.strip()]
    for parts in names:
        sequence = parts[-2] if len(parts) > 1 else parts[0]
        if sequences and sequences[-1].name == sequence:
            continue
        frames = tuple(list_frames(images / sequence))
        first_mask = given / sequence / f"{frames[0].stem}.png"
        if not first_mask.is_file():
            raise SplitError(f"{listing} lists {sequence}, but its first mask {first_mask} does not exist")
        sequences.append(Sequence(sequence, frames, first_mask))
    if not sequences:
        raise SplitError(f"{listing} lists no sequence")
    return Split(name, tuple(sequences), annotations, binary=name == "davis16")
