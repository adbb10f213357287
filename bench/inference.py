"""Measure tracking: each compiled program of a frame and the whole step, beside what the device's matrix rate allows.

    python -m bench.inference --config configs/aott.py --height 480 --width 854 --frames 30

README.md explains the rows and columns of its tables.
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import run as run_main
    from aot_jax.start import use_huge_pages

    use_huge_pages()

import jax
import numpy as np

from aot_jax.network import DTYPES, Model
from aot_jax.preprocess import normalise, resize_cubic, resize_nearest
from aot_jax.tracker.tracker import Tracker
from bench import peer
from bench.measure import BenchError, format_table, fresh_compilation, numbers, run
from bench.network import add_network_flags, check_depth, find_network, input_size
from bench.programs import STEP, time_parts
from bench.rulers import Rulers
from bench.video import WARM_UP, BenchVideo, add_video_flags, load_video, time_copies, time_frames, time_video

ENOUGH = 10  # fewest frames for a reliable median
HEADERS = ("", "compile s", "ms", "frames/s", "units", "GFLOP", "floor ms", "over floor")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.inference",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.inference --config configs/aost.py --depth 1,2,3 --objects 1,10,20",
    )
    add_network_flags(parser, "configs/aott.py")
    parser.add_argument("--objects", type=numbers, help="one run for each number (default: 2, or 1 if a mask has 1)")
    parser.add_argument("--depth", type=numbers, help="LSTT layers, one run for each number (default: all)")
    dtype = "dtype of the network's arithmetic (default: the config's)"
    parser.add_argument("--dtype", choices=sorted(DTYPES), help=dtype)
    parser.add_argument("--peer", type=Path, metavar="PATH", help=peer.HELP)
    batch = "also track N copies of the video at once, for throughput"
    parser.add_argument("--batch", type=int, metavar="N", help=batch)
    add_video_flags(parser, frames=30)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_inference, argv)


def measure_inference(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print every case that the flags select."""
    network = find_network(args, overrides)
    depths = [check_depth(network.config, depth) for depth in args.depth or [None]]
    videos = [pick_video(args, objects) for objects in args.objects or [None]]
    model = network.load(args.dtype)
    rulers = Rulers(model.module.dtype)
    figures: dict = {"config": model.config.name, "cases": []}
    with fresh_compilation():
        for depth, video in itertools.product(depths, videos):
            case = measure_case(model, video, depth, rulers)
            figures["cases"].append(case)
            if args.batch:
                trackers = [Tracker(model, depth) for _ in range(args.batch)]
                case["batch"] = {"alone": time_copies(trackers[:1], video), "at_once": time_copies(trackers, video)}
            print("\n" + format_case(case, rulers), flush=True)
            if args.peer and "error" not in figures:
                try:
                    case["peer"] = measure_peer(args.peer, model, video, depth, rulers)
                    print(peer.describe(case["peer"], "frame", case["programs"]["step"]["seconds"], rulers), flush=True)
                except BenchError as error:
                    figures["error"] = str(error)
    return figures


def pick_video(args: argparse.Namespace, objects: int | None) -> BenchVideo:
    """Return the video with this number of objects; None: two, or one if the mask has only one.

    Raises:
        BenchError: if the video has fewer objects, or is too short to time.
    """
    if objects is None:
        objects = 2 if args.video is None else min(2, len(load_video(args).ids))
    video = load_video(args, objects)
    if len(video.frames) <= WARM_UP + 1:
        raise BenchError(f"{len(video.frames) - 1} frames are too few: the first {WARM_UP} only warm up")
    return video


def measure_case(model: Model, video: BenchVideo, depth: int, rulers: Rulers) -> dict:
    """Time the tracking of a video and, at its middle, each program; returns all results, times in seconds."""
    tracker, middle = Tracker(model, depth), 1 + (len(video.frames) - 1 + WARM_UP) // 2
    step, seen = time_video(tracker, video, rulers, middle)
    programs = time_parts(tracker, video, rulers)
    later, seen_later = time_frames(tracker, video.frames[middle:], rulers, warm_up=0)
    step, seen = [*step, *later], [*seen, *seen_later]
    programs["step"] = {"seconds": statistics.median(step)}
    programs["step"] |= {key: sum(programs[name][key] for name in STEP) for key in ("compile", "flops")}
    for figures in programs.values():
        figures["units"] = rulers.units(figures["seconds"])
        figures["floor"] = figures["flops"] / rulers.matrix.rate if figures["flops"] else None
    return {
        "config": model.config.name,
        "depth": depth,
        "dtype": jax.numpy.dtype(model.module.dtype).name,
        "clip": video.name,
        "frame": video.size,
        "objects": len(video.ids),
        "gap": model.config.memory.gap,
        "memory_frames": {"median": statistics.median(seen), "least": min(seen), "most": max(seen)},
        "frames": len(step),
        "step_seconds": step,
        "programs": programs,
        **rulers.record(),
    }


def measure_peer(path: Path, model: Model, video: BenchVideo, depth: int, rulers: Rulers) -> dict:
    """Time the authors' code on the same frames; see `peer.time_tracking`."""
    size = input_size(model.config, video.size)
    images = [np.asarray(normalise(resize_cubic(frame, size)))[None] for frame in video.frames]
    mask = np.searchsorted(sorted([0, *video.ids]), resize_nearest(video.mask, size))
    return peer.time_tracking(path, model.config, depth, images, mask, video.size, rulers, WARM_UP)


def format_case(case: dict, rulers: Rulers) -> str:
    """Format a case as text: its settings and a table."""
    seen = case["memory_frames"]
    gap = f"a memory frame every {case['gap']}" if case["gap"] else "the reference only in memory"
    height, width = case["frame"]
    lines = [
        f"{case['config']}, depth {case['depth']}, {case['dtype']}: {height}x{width} ({case['clip']}), "
        f"{case['objects']} objects, {gap}",
        f"medians of {case['frames']} frames, which saw {seen['median']:g} memory frames "
        f"({seen['least']} - {seen['most']})" + (": too few to trust" if case["frames"] < ENOUGH else ""),
        rulers.describe(),
        "",
        format_table(HEADERS, [_row(name, figures) for name, figures in case["programs"].items()]),
    ]
    if "batch" in case:
        alone, at_once = case["batch"]["alone"], case["batch"]["at_once"]
        ratio = at_once["frames_per_second"] / alone["frames_per_second"]
        rows = [("alone", alone, None), ("several videos at once", at_once, ratio)]
        table = [[name, run["videos"], 1e3 * run["seconds"], run["frames_per_second"], x] for name, run, x in rows]
        lines += ["", format_table(("", "videos", "ms", "frames/s together", "times as many"), table)]
    return "\n".join(lines)


def _row(name: str, figures: dict) -> list:
    seconds, floor = figures["seconds"], figures["floor"]
    counted = [figures["flops"] * 1e-9, 1e3 * floor, seconds / floor] if floor else [None] * 3
    return [name, figures["compile"], 1e3 * seconds, 1 / seconds, figures["units"], *counted]


if __name__ == "__main__":
    run_main(main)
