"""Measure how the cost of a frame grows: with pixels, memory frames, the frame's number at capacity, and objects.

    python -m bench.growth --config configs/aost.py

Four small tables of `Tracker.step`; all but the first run at --height x --width. With pixels, attention within a frame
and to each memory frame grows with the square of the cells, all else in proportion. With memory frames a frame grows by
the attention to each. A video's length, once memory is full, and objects up to ten must not change it.
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import use_huge_pages

    use_huge_pages()

from aot_jax.config import load_config
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.network import Model, load_model
from aot_jax.preprocess import inference_size
from aot_jax.tracker.tracker import Tracker
from bench.inference import ERRORS, check_depth
from bench.measure import Rulers, add_json_flag, describe_machine, format_table, numbers, write_json
from bench.steps import WARM_UP, time_clip, time_frames
from bench.videos import generate_clip

SIZES = "240x432,360x640,480x854,720x1280"
MEMORY = [1, 2, 4, 8, 16]
OBJECTS = [1, 2, 5, 10]
CAPACITY = 4  # memory frames while the frame's number grows
STRETCHES = 4  # rows of the frame's number


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.growth --config configs/aott.py --sizes 240x432,480x854 --frames 12",
    )
    add_config_flags(parser, "configs/aost.py")
    parser.add_argument("--depth", type=int, help="LSTT layers (default: all)")
    parser.add_argument("--sizes", type=sizes, default=SIZES, help="height x width (default: %(default)s)")
    parser.add_argument("--height", type=int, default=240, help="of the other tables (default: %(default)s)")
    parser.add_argument("--width", type=int, default=432, help="of the other tables (default: %(default)s)")
    parser.add_argument("--memory", type=numbers, default=MEMORY, help="memory frames (default: 1,2,4,8,16)")
    parser.add_argument("--objects", type=numbers, default=OBJECTS, help="objects (default: 1,2,5,10)")
    parser.add_argument("--frames", type=int, default=10, help="timed for each figure (default: %(default)s)")
    parser.add_argument("--length", type=int, default=200, help="frames at capacity (default: %(default)s)")
    add_json_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    print(describe_machine())
    try:
        config = load_config(args.config, overrides)
        depth = check_depth(config, args.depth)
        model = load_model(config)
        rulers = Rulers(model.module.dtype)
        tables = {
            "pixels": by_pixels(model, depth, args.sizes, args.frames, rulers),
            "memory": by_memory(model, depth, args, rulers),
            "number": by_number(model, depth, args, rulers),
            "objects": by_objects(model, depth, args, rulers),
        }
        print("\n" + format_growth(tables, (args.height, args.width), rulers))
        write_json(
            args.json, "bench.growth", argv, {"config": config.name, "depth": depth, **tables, **rulers.record()}
        )
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def sizes(text: str) -> list[tuple[int, int]]:
    """Parse "240x432,480x854" for argparse.

    Raises:
        argparse.ArgumentTypeError: if these are not sizes.
    """
    try:
        pairs = [tuple(int(n) for n in part.split("x")) for part in text.split(",")]
        if all(len(pair) == 2 and min(pair) >= 32 for pair in pairs):
            return pairs
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a list of sizes of 32 pixels or more such as 240x432,480x854")


def by_pixels(model: Model, depth: int, frame_sizes: list, frames: int, rulers: Rulers) -> list[dict]:
    """Time a frame of each size, the reference alone in memory."""
    rows = []
    for size in frame_sizes:
        clip = generate_clip(2, WARM_UP + frames, *size)
        seconds, _ = time_clip(Tracker(model, depth, gap=0), clip, rulers)
        height, width = inference_size(
            *size,
            max_long_edge=model.config.inference.max_long_edge,
            align_corners=model.config.model.align_corners,
        )
        cells = -(-height // 16) * -(-width // 16)
        rows.append({"size": size, "pixels": height * width, "cells": cells, "seconds": statistics.median(seconds)})
    return rows


def by_memory(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> list[dict]:
    """Time a frame that attends to so many memory frames, all kept full."""
    clip, rows = generate_clip(2, 10, args.height, args.width), []
    for most in args.memory:
        # One frame is the reference alone; a tracker that adds others keeps one besides at least.
        tracker = Tracker(model, depth, gap=1 if most > 1 else 0, max_frames=most)
        tracker.step(clip.frames[0], clip.mask)
        onward = clip.onward()
        for frame in itertools.islice(onward, most + WARM_UP):
            tracker.step(frame)
        seconds, seen = time_frames(tracker, itertools.islice(onward, args.frames), rulers, warm_up=0)
        rows.append({"memory_frames": seen[0], "seconds": statistics.median(seconds)})
    return rows


def by_number(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> list[dict]:
    """Time the frames of a long video once its memory is full."""
    clip = generate_clip(2, 20, args.height, args.width)
    tracker = Tracker(model, depth, gap=1, max_frames=CAPACITY)
    tracker.step(clip.frames[0], clip.mask)
    onward, rows, number = clip.onward(), [], CAPACITY + WARM_UP
    for frame in itertools.islice(onward, number):
        tracker.step(frame)
    for _ in range(STRETCHES):
        count = max(args.length // STRETCHES, 1)
        seconds, _ = time_frames(tracker, itertools.islice(onward, count), rulers, warm_up=0)
        rows.append({"first": number + 1, "last": number + count, "seconds": statistics.median(seconds)})
        number += count
    return rows


def by_objects(model: Model, depth: int, args: argparse.Namespace, rulers: Rulers) -> list[dict]:
    """Time a frame with so many objects, the reference alone in memory."""
    rows = []
    for objects in args.objects:
        clip = generate_clip(objects, WARM_UP + args.frames, args.height, args.width)
        seconds, _ = time_clip(Tracker(model, depth, gap=0), clip, rulers)
        rows.append({"objects": objects, "seconds": statistics.median(seconds)})
    return rows


def format_growth(tables: dict[str, list[dict]], size: tuple[int, int], rulers: Rulers) -> str:
    """Lay out the four tables for a terminal."""

    def table(headers: tuple, rows: list[dict], *cells: list) -> str:
        times = [[1e3 * row["seconds"], rulers.units(row["seconds"])] for row in rows]
        return format_table(
            (*headers, "ms", "units", "over the first"),
            [
                [*(column[i] for column in cells), *times[i], row["seconds"] / rows[0]["seconds"]]
                for i, row in enumerate(rows)
            ],
        )

    pixels, memory, number, objects = (tables[name] for name in ("pixels", "memory", "number", "objects"))
    at = f"{size[0]}x{size[1]}"
    more = [None] + [
        1e3 * (row["seconds"] - before["seconds"]) / ((row["memory_frames"] - before["memory_frames"]) or 1)
        for before, row in itertools.pairwise(memory)
    ]
    return "\n".join(
        [
            rulers.describe(),
            "\nPixels of the network's input, one memory frame:",
            table(
                ("size", "pixels", "cells", "pixels over the first"),
                pixels,
                ["x".join(map(str, row["size"])) for row in pixels],
                [row["pixels"] for row in pixels],
                [row["cells"] for row in pixels],
                [row["pixels"] / pixels[0]["pixels"] for row in pixels],
            ),
            f"\nMemory frames at {at}:",
            table(("memory frames", "ms for each more"), memory, [row["memory_frames"] for row in memory], more),
            f"\nNumber of the frame at {at}, memory full with {CAPACITY} frames:",
            table(("frames",), number, [f"{row['first']} - {row['last']}" for row in number]),
            f"\nObjects at {at}, one memory frame:",
            table(("objects",), objects, [row["objects"] for row in objects]),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
