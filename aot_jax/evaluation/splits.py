"""Load the splits of `eval.py`: videos, given masks, and what is scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aot_jax.io import datasets, generated
from aot_jax.io.datasets import DataError, ListedObject, Video
from aot_jax.start.cache import cache_folder

DAVIS = {"davis16": (2016, "val"), "davis17": (2017, "val"), "davis17_testdev": (2017, "test-dev")}
YOUTUBE = {"youtubevos18": 2018, "youtubevos19": 2019}
LVOS = {"lvos_v1": 1, "lvos_v2": 2}
SPLITS = (*DAVIS, *YOUTUBE, "mose", *LVOS, "vost", "generated", "folder")


@dataclass(frozen=True)
class SplitVideo:
    """One video of a split."""

    name: str
    frames: tuple[Path, ...]  # images in order
    masks: Mapping[str, Path]  # masks that may be given, by frame stem; each object is taken from its first mask
    objects: Mapping[int, ListedObject] = field(default_factory=dict)  # by id; empty: taken from the masks
    wanted: tuple[str, ...] = ()  # stems of the frames that the benchmark evaluates; empty: all
    notes: tuple[str, ...] = ()  # guesses made about its files, one line each
    annotated: Mapping[str, Path] = field(default_factory=dict)  # all masks by frame stem, given ones included

    @property
    def first_mask(self) -> Path:
        """The mask of the earliest frame that has one."""
        return next(self.masks[frame.stem] for frame in self.frames if frame.stem in self.masks)

    @property
    def stems(self) -> tuple[str, ...]:
        """Stems of the frames that the benchmark evaluates."""
        return self.wanted or tuple(frame.stem for frame in self.frames)


@dataclass(frozen=True)
class Split:
    """A set of videos and how they are scored."""

    name: str
    sequences: tuple[SplitVideo, ...]
    annotations: Path  # folder with a folder of masks for each sequence, the ground truth if there is any
    binary: bool = False  # merge all objects into one (DAVIS 2016)
    # davis: objects of the first frame alone; objects: each one after its first frame; ranges: from its first frame on
    scoring: str = "davis"
    folder: str = ""  # folder of the masks, in the output folder and in the archive
    archive: str = ""  # name of the zip for the benchmark's server; empty: there is no server
    server: str = ""  # name and address of that server
    seen: frozenset[str] = frozenset()  # categories of the benchmark's training set (YouTube-VOS)


def load_split(name: str, data: str | Path | None = None, resolution: str = "480p", all_frames: bool = False) -> Split:
    """Find the files of a split.

    Args:
        name: one of SPLITS.
        data: folder that contains DAVIS/, YouTubeVOS/, MOSE/, LVOS/ or VOST/, or is one of them; for split `folder`
            the data set itself; None: $VOS_DATA or ./data.
        resolution: resolution of DAVIS: 480p, or Full-Resolution, still written and scored at 480p.
        all_frames: run YouTube-VOS at 30 frames a second, of which every fifth is evaluated.

    Raises:
        DataError: a file is missing; the message shows the expected layout and where the set is published.
    """
    if name not in SPLITS:
        raise DataError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")
    if all_frames and name not in YOUTUBE:
        raise DataError(f"split {name} has no other frames: leave --all_frames out; youtubevos18 and 19 take it")
    root = datasets.data_root(data)
    if name == "generated":
        recipe = generated.HELD_OUT
        size = f"{recipe.videos}x{recipe.frames}-{recipe.height}x{recipe.width}"
        root = cache_folder() / f"generated-v{generated.VERSION}-{recipe.seed}-{size}"
        generated.write_davis_tree(recipe, root)
    if name == "generated" or name in DAVIS:
        found = datasets.davis(root, *DAVIS.get(name, (2017, "val")), resolution)
        sequences = tuple(_sequence(video, first_only=True) for video in found.videos)
        truth = found.root / "Annotations" / "480p"
        if name == "davis17_testdev":
            server = "the DAVIS 2017 test-dev server, see https://davischallenge.org"
            return Split(name, sequences, truth, archive=f"{name}.zip", server=server)
        return Split(name, sequences, truth, binary=name == "davis16")
    if name in YOUTUBE:
        year = YOUTUBE[name]
        found = datasets.youtube_vos(root, year, "valid", shortest=1, all_frames=all_frames)
        if empty := [video.name for video in found.videos if not video.objects]:
            raise DataError(f"{found.root / 'meta.json'}: {empty[0]} has no object with frames; unpack the set again")
        return Split(
            name,
            tuple(_sequence(video, all_wanted=False) for video in found.videos),
            found.root / "Annotations",
            scoring="objects",
            folder="Annotations",
            archive=f"{name}.zip",
            server=f"the YouTube-VOS {year} server, see https://youtube-vos.org/dataset/vos",
            seen=datasets.seen_categories(found.root),
        )
    if name == "vost":
        found = datasets.vost(root)
    elif name == "mose":
        found = datasets.mose(root)
    else:
        found = datasets.lvos(root, LVOS[name]) if name in LVOS else datasets.own_videos(root)
    sequences = tuple(_sequence(video, first_only=name == "vost") for video in found.videos)
    if not sequences:
        raise DataError(f"{found.root / 'JPEGImages'}: no folder of frames in it")
    truth = found.videos[0].masks.parent
    if name == "mose":
        server = "the MOSE server, see https://mose.video"
        return Split(name, sequences, truth, scoring="objects", archive="mose.zip", server=server)
    scoring = "davis" if name == "vost" else "ranges" if name in LVOS else "objects"
    return Split(name, sequences, truth, scoring=scoring)


def _sequence(video: Video, first_only: bool = False, all_wanted: bool = True) -> SplitVideo:
    """Turn a listed video into a sequence and check its files.

    Args:
        video: the video.
        first_only: give the mask of the first frame only.
        all_wanted: the benchmark evaluates every frame, not just those of its objects.

    Raises:
        DataError: frames or given masks are missing.
    """
    lost = [pair for pair in video.frames if pair.image is None]
    if len(lost) == len(video.frames):
        raise DataError(f"{video.images}: no frame in it; unpack the set again, or take {video.name} off the list")
    if lost and lost[0].mask is not None and not video.objects:
        raise DataError(
            f"{lost[0].mask}: there is no frame of this name in {video.images}; rename the mask after its frame"
        )
    if lost:
        raise DataError(
            f"{video.images / lost[0].name}.jpg does not exist, but meta.json lists it; unpack the set again "
            f"({len(lost)} of {len(video.frames)} frames are missing)"
        )
    frames = tuple(pair.image for pair in video.frames if pair.image is not None)
    listed = {stem for thing in video.objects.values() for stem in thing.frames}
    wanted = () if all_wanted else tuple(pair.name for pair in video.frames if pair.name in listed)
    annotated = given = {pair.name: pair.mask for pair in video.frames if pair.mask is not None}
    if video.objects:
        given = {stem: path for stem, path in given.items() if stem in listed}
    if first_only:
        given = {stem: path for stem, path in given.items() if stem == frames[0].stem}
    if not given:
        raise DataError(
            f"{video.masks / frames[0].stem}.png: no such mask"
            + ("" if first_only else f", nor one of another frame of {video.images}")
            + "; draw one for the frame where the first object appears, or take the video out"
        )
    for i, thing in video.objects.items():
        if thing.frames[0] not in given:
            raise DataError(
                f"{video.masks / thing.frames[0]}.png: no such mask, but object {i} of {video.name} first appears "
                "there; unpack the set again"
            )
    return SplitVideo(video.name, frames, given, video.objects, wanted, video.notes, annotated)
