"""Measure how the cost of a frame grows with pixels, memory frames and objects.

    python -m bench.growth --config configs/aost.py
    python -m bench.growth --config configs/aott.py --tables objects --height 480 --width 854

The tables time `Tracker.step`, all but the first at --height x --width. Attention within a frame and to each memory
frame grows with the square of the cells, all else linearly with the pixels. Each memory frame adds its attention. Up
to ten objects cost the same; more are split into groups of ten that share the encoder: the last row is compared with
separate runs of ten objects.
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

from aot_jax.network import Model
from aot_jax.tracker.objects import group_count
from aot_jax.tracker.tracker import Tracker
from bench.measure import format_table, numbers, run
from bench.network import add_network_flags, check_depth, find_network, input_size
from bench.rulers import Rulers
from bench.video import WARM_UP, add_video_flags, generate_video, load_video, time_frames, time_video

SIZES = "240x432,360x640,480x854,720x1280"
MEMORY = [1, 2, 4, 8, 16]
OBJECTS = [1, 2, 5, 10, 20, 44]
TABLES = ("pixels", "memory", "objects")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.growth --config configs/aott.py --tables objects --objects 1,10,44",
    )
    add_network_flags(parser, "configs/aost.py")
    parser.add_argument("--depth", type=int, help="LSTT layers (default: all)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES, help="to measure (default: all)")
    parser.add_argument("--sizes", type=sizes, default=SIZES, help="height x width (default: %(default)s)")
    parser.add_argument("--memory", type=numbers, default=MEMORY, help="memory frames (default: 1,2,4,8,16)")
    objects = "objects (default: 1,2,5,10,20,44, or as many as the mask of --video has)"
    parser.add_argument("--objects", type=numbers, help=objects)
    add_video_flags(parser, frames=10, height=240, width=432)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_growth, argv)


def measure_growth(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print the tables that the flags select."""
    network = find_network(args, overrides)
    depth = check_depth(network.config, args.depth)
    if args.video is None:
        args.objects = args.objects or OBJECTS
    elif args.objects is None:
        most = len(load_video(args).ids)
        args.objects = sorted({min(count, most) for count in OBJECTS})
    model = network.load()
    rulers = Rulers(model.module.dtype)
    figures: dict = {"config": network.config.name, "depth": depth}
    for name in TABLES:
        if name in args.tables:
            figures[name], text = MEASURE[name](model, depth, args, rulers)
            print("\n" + text, flush=True)
    print("\n" + rulers.describe())
    return figures | rulers.record()


def sizes(text: str) -> list[tuple[int, int]]:
    """Parse "240x432,480x854" for argparse.

    Raises:
        argparse.ArgumentTypeError: if the text is not a list of sizes of 32 pixels or more.
    """
    try:
        pairs = [tuple(int(n) for n in part.split("x")) for part in text.split(",")]
        if all(len(pair) == 2 and min(pair) >= 32 for pair in pairs):
            return pairs
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a list of sizes of 32 pixels or more such as 240x432,480x854")


def by_pixels(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> tuple[list[dict], str]:
    """Time a frame of each size, with only the reference in memory."""
    rows = []
    for size in args.sizes:
        video = generate_video(2, WARM_UP + args.frames, *size)
        seconds, _ = time_video(Tracker(model, depth, gap=0), video, rulers)
        height, width = input_size(model.config, size)
        cells = -(-height // 16) * -(-width // 16)
        rows.append({"size": size, "pixels": height * width, "cells": cells, "seconds": statistics.median(seconds)})
    cells = [
        ["{}x{}".format(*row["size"]), row["pixels"], row["cells"], row["pixels"] / rows[0]["pixels"]] for row in rows
    ]
    headers = ("size", "pixels", "cells", "pixels over the first")
    return rows, "Pixels of the network's input, one memory frame:\n" + _table(headers, rows, cells, rulers)


def by_memory(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> tuple[list[dict], str]:
    """Time a frame for each number of memory frames, with memory full."""
    video, rows, cells = generate_video(2, 10, args.height, args.width), [], []
    for most in args.memory:
        # For one frame keep only the reference: with a gap a tracker holds at least one more.
        tracker = Tracker(model, depth, gap=1 if most > 1 else 0, max_frames=most)
        tracker.step(video.frames[0], video.mask)
        onward = video.onward()
        for frame in itertools.islice(onward, most + WARM_UP):
            tracker.step(frame)
        seconds, seen = time_frames(tracker, itertools.islice(onward, args.frames), rulers, warm_up=0)
        rows.append({"memory_frames": seen[0], "seconds": statistics.median(seconds)})
        more = None
        if len(rows) > 1:
            frames, longer = (rows[-1][name] - rows[-2][name] for name in ("memory_frames", "seconds"))
            more = 1e3 * longer / (frames or 1)
        cells.append([seen[0], more])
    text = _table(("memory frames", "ms for each more"), rows, cells, rulers)
    return rows, f"Memory frames at {args.height}x{args.width}:\n{text}"


def by_objects(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> tuple[dict, str]:
    """Time a frame for each number of objects, with only the reference in memory, and the most objects ten by ten.

    All cases run in order and then in reverse, so that a drift of the machine's speed affects all of them equally.
    """
    args.frames += WARM_UP
    videos = [load_video(args, count) for count in args.objects]
    share, last = model.config.model.identities, videos[-1]
    parts = [last.ids[i : i + share] for i in range(0, len(last.ids), share)]
    runs = [*videos, *(last.only(ids) for ids in parts if len(parts) > 1)]
    times: list[list[float]] = [[] for _ in runs]
    for video, seconds in (*zip(runs, times, strict=True), *zip(runs[::-1], times[::-1], strict=True)):
        seconds.extend(time_video(Tracker(model, depth, gap=0), video, rulers)[0])
    medians = [statistics.median(seconds) for seconds in times]
    rows = [
        {"objects": len(video.ids), "groups": group_count(len(video.ids), share), "seconds": seconds}
        for video, seconds in zip(videos, medians, strict=False)
    ]
    figures = {"clip": last.name, "frame": last.size, "rows": rows, "separate": medians[len(videos) :]}
    height, width = last.size
    text = f"Objects at {height}x{width} ({last.name}), one memory frame:\n" + _table(
        ("objects", "groups"), rows, [[row["objects"], row["groups"]] for row in rows], rulers
    )
    if figures["separate"]:
        total = sum(figures["separate"])
        figures["of_separate"] = rows[-1]["seconds"] / total
        text += (
            f"\n{rows[-1]['objects']} objects at once take {figures['of_separate']:.2f} of the time of "
            f"{len(parts)} separate runs ({1e3 * total:.4g} ms)"
        )
    return figures, text


MEASURE = dict(zip(TABLES, (by_pixels, by_memory, by_objects), strict=True))


def _table(headers: tuple, rows: list[dict], cells: list[list], rulers: Rulers) -> str:
    """Format cells and each row's time as a table."""
    times = [row["seconds"] for row in rows]
    lines = [[*row, 1e3 * t, rulers.units(t), t / times[0]] for row, t in zip(cells, times, strict=True)]
    return format_table((*headers, "ms", "units", "over the first"), lines)


if __name__ == "__main__":
    run_main(main)
