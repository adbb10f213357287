"""Data sets in folders JPEGImages/NAME and Annotations/NAME: DAVIS, VOST, MOSE, a user's own videos and images."""

from pathlib import Path

from aot_jax.io.datasets.listing import DataError, Dataset, Video, list_folders, list_video, locate, read_names

DAVIS = """DAVIS/
      JPEGImages/480p/VIDEO/00000.jpg ...
      Annotations/480p/VIDEO/00000.png ...
      ImageSets/YEAR/SPLIT.txt
  published at https://davischallenge.org (TrainVal and Test-Dev 480p; unpack the second over the first)"""
VOST = """VOST/
      JPEGImages/VIDEO/frame00012.jpg ...
      Annotations/VIDEO/frame00012.png ...
      ImageSets/val.txt
  published at https://www.vostdataset.org"""
MOSE = """MOSE/
      valid/JPEGImages/VIDEO/00000.jpg ...
      valid/Annotations/VIDEO/00000.png
  published at https://mose.video (valid.tar.gz)"""
OWN = """JPEGImages/VIDEO/*.jpg           or JPEGImages/480p/VIDEO/*.jpg
      Annotations/VIDEO/FIRST_FRAME.png, with further masks where objects appear later
  name that folder itself"""
STATIC = """Static/
      JPEGImages/SET/*.jpg
      Annotations/SET/*.png"""


def davis(root: Path, year: int, split: str = "train", resolution: str = "") -> Dataset:
    """List a split of DAVIS 2016 or 2017.

    Args:
        root: folder with JPEGImages/RESOLUTION, Annotations/RESOLUTION and ImageSets/YEAR/SPLIT.txt, or its parent.
        year: 2016 or 2017.
        split: name of a file in ImageSets/YEAR.
        resolution: name of the resolution's folder; empty: 480p if it exists, else the only one.

    Raises:
        DataError: no such folder or split.
    """
    root = locate(root, ("DAVIS", "."), "ImageSets", DAVIS)
    listing = root / "ImageSets" / str(year) / f"{split}.txt"
    if not listing.is_file():
        have = ", ".join(sorted(str(p.relative_to(root)) for p in (root / "ImageSets").glob("*/*.txt"))) or "none"
        raise DataError(f"{listing} does not exist; lists there: {have}. Unpack the set that holds this one")
    resolution = resolution or _resolution(root)
    for part in ("JPEGImages", "Annotations"):
        locate(root, (".",), f"{part}/{resolution}", DAVIS)
    return Dataset("davis", root, split, _pairs(root, resolution, read_names(listing)))


def vost(root: Path, split: str = "val") -> Dataset:
    """List a split of VOST, which annotates every frame, at 5 frames a second.

    Raises:
        DataError: no such folder or split.
    """
    root = locate(root, ("VOST", "."), f"ImageSets/{split}.txt", VOST)
    return Dataset("videos", root, split, _pairs(root, ".", read_names(root / "ImageSets" / f"{split}.txt")))


def mose(root: Path, split: str = "valid") -> Dataset:
    """List a split of MOSE. In the validation set, only first frames are annotated.

    Raises:
        DataError: no such folder.
    """
    root = locate(root, (f"MOSE/{split}", split, "."), "JPEGImages", MOSE)
    return Dataset("videos", root, split, _pairs(root, ".", list_folders(root / "JPEGImages")))


def static(root: Path) -> Dataset:
    """List the images with masks of every SET in JPEGImages/SET and Annotations/SET.

    Raises:
        DataError: no such pair of folders.
    """
    root = locate(root, ("Static", "."), "Annotations", STATIC)
    locate(root, (".",), "JPEGImages", STATIC)
    videos = []
    for group in list_folders(root / "Annotations"):
        images, masks = root / "JPEGImages" / group, root / "Annotations" / group
        for pair in list_video(group, images, masks, stills=True).frames:
            videos.append(Video(f"{group}/{pair.name}", images, masks, (pair,), group))
    return Dataset("static", root, "train", tuple(videos))


def own_videos(root: Path) -> Dataset:
    """List a user's videos: JPEGImages/VIDEO/*.jpg with Annotations/VIDEO/*.png, where a frame may lack a mask.

    Raises:
        DataError: no such pair of folders.
    """
    root = locate(root, (".", "Videos"), "JPEGImages", OWN)
    locate(root, (".",), "Annotations", OWN)
    resolution = "480p" if (root / "JPEGImages" / "480p").is_dir() else "."
    names = {name for part in ("JPEGImages", "Annotations") for name in list_folders(root / part / resolution)}
    return Dataset("videos", root, "train", _pairs(root, resolution, sorted(names)))


def _pairs(root: Path, resolution: str, names: list[str]) -> tuple[Video, ...]:
    images, masks = root / "JPEGImages" / resolution, root / "Annotations" / resolution
    return tuple(list_video(name, images / name, masks / name) for name in names)


def _resolution(root: Path) -> str:
    names = [name for name in list_folders(root / "JPEGImages") if (root / "Annotations" / name).is_dir()]
    if "480p" in names or not names:
        return "480p"
    if len(names) > 1:
        raise DataError(f"{root}: expected JPEGImages/480p and Annotations/480p, or one other pair; found {names}")
    return names[0]
