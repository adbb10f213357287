"""What a split is: videos, the masks given with them, the objects and frames that count. Filled in by `splits.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SplitError(ValueError):
    """A split whose files are not where they are looked for, or do not fit each other."""


@dataclass(frozen=True)
class Object:
    """What a benchmark says of one object."""

    frames: tuple[str, ...]  # stems, in order: the first brings its mask, the others are scored
    category: str = ""


@dataclass(frozen=True)
class Sequence:
    """One video of a split."""

    name: str
    frames: tuple[Path, ...]  # images in order
    masks: Mapping[str, Path]  # that may be given, by the frame's stem; an object is taken from the first that holds it
    objects: Mapping[int, Object] = field(default_factory=dict)  # by id; empty: as the masks tell
    wanted: tuple[str, ...] = ()  # stems of the frames that a benchmark takes; empty: all

    @property
    def first_mask(self) -> Path:
        """The mask of the earliest frame that has one."""
        return next(self.masks[frame.stem] for frame in self.frames if frame.stem in self.masks)

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems of the frames that a benchmark takes."""
        return self.wanted or tuple(frame.stem for frame in self.frames)


@dataclass(frozen=True)
class Split:
    """A set of videos and how they are scored."""

    name: str
    sequences: tuple[Sequence, ...]
    annotations: Path  # folder with a folder of masks for each sequence: the ground truth, as far as there is one
    binary: bool = False  # all objects are one (DAVIS 2016)
    scoring: str = "davis"  # davis: objects of the first frame; objects: each from the frame where it appears
    folder: str = ""  # of the masks, in the output folder and in the archive
    archive: str = ""  # name of the zip that the benchmark's server takes; empty: none does
    server: str = ""  # where that is handed in
    seen: frozenset[str] = frozenset()  # categories of the benchmark's training set (YouTube-VOS)


def missing(name: str, path: Path, layout: str) -> SplitError:
    """Say what a split lacks."""
    return SplitError(
        f"split {name} needs {path}, which does not exist. Wanted, in the folder given by --data "
        f"(or $VOS_DATA, or ./data):\n  {layout}"
    )
