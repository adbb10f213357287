"""Report the contents and problems of a folder of raw data: `python -m data_pipeline.check DIR`.

Reads every mask and image with the code that prepares them, so each problem listed is one that preparation would stop
at or leave out. Needs no TensorFlow.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from aot_jax.io.datasets import DataError, Dataset, Video, detect
from aot_jax.io.names import listed
from aot_jax.start import reports_errors, run
from data_pipeline.frames import ReadResult, read_videos
from data_pipeline.sequences import object_pixels, why_left_out


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
        use = f"  to train on it: --config.data.root={self.root} --config.data.datasets=\"(('{name}', 1),)\""
        if held_out:
            use = f"  held out: the {held_out} split of {name} is there for scores (eval.py), not for training"
        return [*lines, use]


def check(title: str, dataset: str, source: Dataset, progress: bool = True) -> Findings:
    """Read every file of a data set and report what it holds."""
    found = Findings(title, dataset, source.root, videos=len(source.videos))
    found.frames = sum(len(video.frames) for video in source.videos)
    still = source.kind == "static"
    with tqdm(total=found.frames, unit="frame", desc="check", disable=not progress, leave=False) as bar:
        for video, frames in read_videos(source, found.notes.append):
            counts, problems = _read(video, frames, source.kind, bar)
            objects = [object_pixels(count) for count in counts]
            ids = sorted({i for frame in objects for i in frame})
            found.annotated += len(counts)
            found.objects += len(ids)
            found.most_objects = max(found.most_objects, len(ids))
            if why := why_left_out(objects, shortest=1 if still else 2):
                problems.append(f"{why}: left out")
            else:
                found.usable += 1
            if ids and ids[-1] != len(ids) and not still:
                problems.append(f"ids with gaps: {listed(ids, 5)} (fine for training)")
            found.problems += [f"{video.name}: {problem}" for problem in problems]
    return found


def _read(video: Video, frames: Iterator[ReadResult], kind: str, bar: tqdm) -> tuple[list[dict[int, int]], list[str]]:
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
        problems += [f"{len(names)} {what}{note}: {listed(names, 5)}"] if names else []
    return counts, problems


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.check",
        description="Tell what a folder of raw data holds and what is wrong with it; every image and mask is read.",
        epilog="example: python -m data_pipeline.check ~/datasets. DAVIS, YouTube-VOS, Static/ and own videos are "
        "known by their folders.",
    )
    folder = "a set in its official layout, or a folder that holds several"
    parser.add_argument("folder", type=Path, metavar="DIR", help=folder)
    kind = "what a bare JPEGImages/, Annotations/ pair holds (default: judged by its files)"
    parser.add_argument("--kind", choices=("static", "videos"), help=kind)
    parser.add_argument("--all", action="store_true", help="show every problem, not the first 20 of each set")
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 if nothing can be trained on."""
    arguments = make_parser().parse_args(argv)
    usable = 0
    for title, dataset, source in detect(arguments.folder, arguments.kind):
        report = check(title, dataset, source, progress=sys.stderr.isatty())
        print("\n".join(report.lines(None if arguments.all else 20)))
        usable += report.usable
    return 0 if usable else 2


if __name__ == "__main__":
    run(main)
