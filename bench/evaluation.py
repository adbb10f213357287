"""Measure how much reading frames and writing masks add to tracking in `eval.py`.

    python -m bench.evaluation --split davis16 --data DATA

Two ways take turns over the videos of a split: `Tracker.stream` on frames in memory, and what `eval.py` runs, which
decodes frames and writes masks in the background. A first turn of both compiles and is not counted. All frames of the
split are held in memory.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import run as run_main
    from aot_jax.start import use_huge_pages

    use_huge_pages()

from aot_jax.evaluation.run import run_split
from aot_jax.evaluation.segment import GivenMasks
from aot_jax.evaluation.splits import SPLITS, Split, SplitVideo, load_split
from aot_jax.flags import at_least
from aot_jax.io.frames import read_frame
from aot_jax.tracker.tracker import Tracker
from bench.measure import format_table, fresh_compilation, run
from bench.network import add_network_flags, check_depth, find_network


class Video(NamedTuple):
    """A video in memory."""

    frames: list[np.ndarray]  # from the first with an object on
    masks: Mapping[int, np.ndarray]  # new objects (h, w) by frame


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.evaluation",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.evaluation --config configs/aott.py --split davis16 --data DATA "
        "--config.inference.max_long_edge=416",
    )
    add_network_flags(parser, "configs/aott.py")
    parser.add_argument("--depth", type=int, metavar="N", help="LSTT layers (default: all)")
    parser.add_argument("--split", required=True, choices=SPLITS, help="benchmark split")
    parser.add_argument("--data", metavar="DIR", help="folder of datasets (default: $VOS_DATA or ./data)")
    parser.add_argument(
        "--turns", type=at_least(1), default=5, metavar="N", help="turns of each (default: %(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_evaluation, argv)


def measure_evaluation(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print both ways."""
    split = load_split(args.split, args.data)
    network = find_network(args, overrides)
    tracker = Tracker(network.load(), check_depth(network.config, args.depth))
    videos = [read_video(sequence, split.binary) for sequence in split.sequences]
    frames = sum(len(video.frames) for video in videos)
    print(f"{split.name}: {len(videos)} videos, {frames} frames", flush=True)
    rows = []
    with fresh_compilation():
        for turn in range(1 + args.turns):
            alone, both = track_alone(tracker, videos) / frames, evaluate(tracker, split) / frames
            if turn:
                rows.append({"turn": turn, "alone_seconds": alone, "seconds": both, "ratio": both / alone})
                print(f"turn {turn}: {both / alone:.2f}", flush=True)
    print("\n" + format_turns(rows))
    return {"config": network.config.name, "depth": tracker.depth, "frames": frames, "turns": rows}


def read_video(sequence: SplitVideo, binary: bool) -> Video:
    """Read the frames and given masks of a video."""
    given = GivenMasks(sequence, binary)
    masks = {t: mask for t in range(len(sequence.frames)) if (mask := given.at(t)) is not None}
    first = min(masks)
    frames = [read_frame(path) for path in sequence.frames[first:]]
    return Video(frames, {t - first: mask for t, mask in masks.items()})


def track_alone(tracker: Tracker, videos: list[Video]) -> float:
    """Track videos in memory; returns the seconds it takes."""
    start = time.perf_counter()
    for video in videos:
        tracker.reset()
        for _ in tracker.stream(video.frames, video.masks):
            pass
    return time.perf_counter() - start


def evaluate(tracker: Tracker, split: Split) -> float:
    """Decode, track and write the videos of a split; returns the seconds it takes."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run_split([[tracker]], split, Path(folder), progress=False)
        return time.perf_counter() - start


def format_turns(rows: list[dict]) -> str:
    """Format the turns as a table, with their medians in the last row."""
    names = ("alone_seconds", "seconds", "ratio")
    middle = {"turn": "median"} | {name: median(row[name] for row in rows) for name in names}
    cells = [
        [row["turn"], 1e3 * row["alone_seconds"], 1e3 * row["seconds"], f"{row['ratio']:.2f}"]
        for row in [*rows, middle]
    ]
    return format_table(["turn", "tracking alone, ms a frame", "eval.py, ms a frame", "times as long"], cells)


if __name__ == "__main__":
    run_main(main)
