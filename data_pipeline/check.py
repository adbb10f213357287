"""Tell what a folder of raw data holds and what is wrong with it: `python -m data_pipeline.check DIR`.

Reads every mask and image with the code that prepares them, so each problem listed is one that preparation would stop
at or leave out. Needs no TensorFlow.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from aot_jax.io import datasets
from aot_jax.io.datasets import Dataset, Video
from aot_jax.io.frames import FRAME_SUFFIXES, JPEG_OR_PNG, explain_errors, open_image
from aot_jax.start import run
from data_pipeline.errors import DataError
from data_pipeline.frames import Outcome, read_videos
from data_pipeline.sequences import object_pixels, why_left_out

_NAMES = {"davis": "DAVIS", "youtube_vos": "YouTube-VOS", "static": "still images", "videos": "own videos"}


@dataclass
class Findings:
    """Contents and problems of a data set."""

    title: str
    dataset: str  # name in config.data.datasets
    root: Path
    videos: int = 0
    frames: int = 0
    annotated: int = 0  # frames with a usable mask
    objects: int = 0  # total over videos
    most_objects: int = 0  # largest number in one video
    usable: int = 0  # videos that can be trained on
    notes: list[str] = field(default_factory=list)  # guesses made about frames and masks
    problems: list[str] = field(default_factory=list)

    def lines(self, limit: int | None = None) -> list[str]:
        """Format as lines of text, with at most `limit` notes and problems; None: all."""
        what = "images" if self.dataset == "static" else "videos"
        lines = [
            f"{self.title} in {self.root}",
            f"  {what} {self.videos}, usable {self.usable}; frames {self.frames}, with a mask {self.annotated}; "
            f"objects {self.objects}, at most {self.most_objects} in one",
        ]
        lines += [f"  note: {note}" for note in self.notes[:limit]]
        lines.append(f"  problems: {len(self.problems) or 'none'}")
        lines += [f"    {problem}" for problem in self.problems[:limit]]
        if limit is not None and len(self.problems) > limit:
            lines.append(f"    ... and {len(self.problems) - limit} more (--all shows them)")
        name, _, held_out = self.dataset.partition(":")
        if held_out:
            lines.append(f"  held out: the {held_out} split of {name} is there for scores (eval.py), not for training")
        else:
            lines.append(
                f"  to train on it: --config.data.root={self.root} --config.data.datasets=\"(('{name}', 1),)\""
            )
        return lines


def detect(root: Path, kind: str | None = None) -> Iterator[tuple[str, str, Dataset]]:
    """Find every known layout in a folder; yields (title, dataset name, data set).

    Args:
      root: the folder, or one that holds DAVIS/, YouTubeVOS/ or Static/.
      kind: "static" or "videos", what a bare JPEGImages/, Annotations/ pair holds; None: judged by its files.

    Raises:
      DataError: nothing is found.
    """
    found = False
    for home in (root / "DAVIS", root):
        for listing in sorted((home / "ImageSets").glob("*/*.txt")):
            year, split = listing.parent.name, listing.stem
            if year in ("2016", "2017"):
                found = True
                name = f"davis{year[2:]}" + ("" if split == "train" else f":{split}")
                yield f"DAVIS {year}, split {split}", name, datasets.davis(home, int(year), split)
        if found:
            break
    metas = {path for pattern in ("", "*/", "*/*/", "*/*/*/") for path in root.glob(f"{pattern}meta.json")}
    for meta in sorted(metas):
        if (meta.parent / "JPEGImages").is_dir():
            found = True
            edition = 2018 if "2018" in meta.parts else 2019
            split = meta.parent.name if meta.parent.name in ("valid", "test") else "train"
            name = f"youtube_vos{edition % 100}" + ("" if split == "train" else f":{split}")
            yield f"YouTube-VOS {edition} {split}", name, datasets.youtube_vos(meta.parent, edition, split)
    if (root / "Static" / "JPEGImages").is_dir():
        found = True
        yield "still images", "static", datasets.static(root)
    if not found and (root / "JPEGImages").is_dir() and (root / "Annotations").is_dir():
        found = True
        kind = kind or ("videos" if _look_like_videos(root) else "static")
        yield _NAMES[kind], kind, datasets.find(kind, root)
    if not found:
        raise DataError(
            f"{root}: no data found; expected JPEGImages/VIDEO/*.jpg with Annotations/VIDEO/*.png, a DAVIS folder with "
            "ImageSets/, or a YouTube-VOS folder with meta.json"
        )


def check(title: str, dataset: str, source: Dataset, progress: bool = True) -> Findings:
    """Read every file of a data set and report what it holds."""
    found = Findings(title, dataset, source.root, videos=len(source.videos))
    found.frames = sum(len(video.frames) for video in source.videos)
    results = []
    with tqdm(total=found.frames, unit="frame", desc="check", disable=not progress, leave=False) as bar:
        for video, frames in read_videos(source, found.notes.append):
            results.append((video, *_read(video, frames, source.kind, bar)))
    shortest = 1 if source.kind == "static" else 2
    for video, counts, problems in results:
        objects = [object_pixels(count, False) for count in counts]
        ids = sorted({i for frame in objects for i in frame})
        found.annotated += len(counts)
        found.objects += len(ids)
        found.most_objects = max(found.most_objects, len(ids))
        if why := why_left_out(objects, shortest):
            problems.append(f"{why}: left out")
        else:
            found.usable += 1
        if ids and ids[-1] != len(ids) and source.kind != "static":
            problems.append(f"ids with gaps: {_some(ids)} (fine for training)")
        found.problems += [f"{video.name}: {problem}" for problem in problems]
    return found


def _read(video: Video, frames: Iterator[Outcome], kind: str, bar: tqdm) -> tuple[list[dict[int, int]], list[str]]:
    """Return the pixels per id of each frame that preparation would store, and the problems of the others."""
    counts, problems = [], []
    missing: dict[str, list[str]] = {"frame(s) without a mask": [], "mask(s) without an image": []}
    for pair, frame in zip(video.frames, frames, strict=True):
        bar.update()
        if pair.mask is None or pair.image is None:
            missing["frame(s) without a mask" if pair.image else "mask(s) without an image"].append(pair.name)
        elif isinstance(frame, DataError):
            problems.append(str(frame))
        elif frame is not None:
            counts.append(frame.objects)
    for what, names in missing.items():
        note = " (fine: they are not trained on)" if kind == "videos" and what.startswith("frame") else ""
        problems += [f"{len(names)} {what}{note}: {_some(names)}"] if names else []
    return counts, problems


def _look_like_videos(root: Path) -> bool:
    """Tell videos from sets of images: a video's images have one size and names that end in a digit."""
    for folder in sorted(path for path in (root / "JPEGImages").iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in FRAME_SUFFIXES)
        if any(not path.stem[-1:].isdigit() for path in files):
            return False
        sizes = set()
        for path in files[:: max(1, len(files) // 8)]:
            with (
                contextlib.suppress(DataError),
                explain_errors(path, DataError),
                path.open("rb") as stream,
            ):
                sizes.add(open_image(stream, path, JPEG_OR_PNG, DataError)[0].size)
        if len(sizes) > 1:
            return False
    return True


def _some(values: list) -> str:
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.check",
        description="Tell what a folder of raw data holds and what is wrong with it; every image and mask is read.",
        epilog="example: python -m data_pipeline.check ~/datasets. DAVIS, YouTube-VOS, Static/ and own videos are "
        "known by their folders.",
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="a set in its official layout, or a folder that holds several"
    )
    parser.add_argument(
        "--kind",
        choices=("static", "videos"),
        help="what a bare JPEGImages/, Annotations/ pair holds (default: judged by its files)",
    )
    parser.add_argument("--all", action="store_true", help="show every problem, not the first 20 of each set")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 1 if nothing can be trained on."""
    arguments = make_parser().parse_args(argv)
    usable = 0
    try:
        for title, dataset, source in detect(arguments.folder, arguments.kind):
            report = check(title, dataset, source, progress=sys.stderr.isatty())
            print("\n".join(report.lines(None if arguments.all else 20)))
            usable += report.usable
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if usable else 1


if __name__ == "__main__":
    run(main)
