"""Measure a long video, and videos of many sizes: memory, frames a second and compilations must stay flat.

    python -m bench.long_video --frames 10000

First one long video (a generated one, forward and backward) with limited memory frames: every 500 frames the process's
memory, frames a second, and the programs compiled so far. Then videos of many sizes: programs with the network depend
only on its input size, a multiple of 16 (plus 1 for networks that align corners), which bounds their number; small
programs for resizing depend on the frame's size.
"""

import argparse
import inspect
import itertools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import run as run_main
    from aot_jax.start import use_huge_pages

    use_huge_pages()

from aot_jax.network import Model
from aot_jax.start.compiled import Compilations
from aot_jax.tracker import programs as frame_programs
from aot_jax.tracker.tracker import Tracker
from bench.measure import format_table, rss, run
from bench.network import add_network_flags, check_depth, find_network, input_size
from bench.video import generate_video, memory_frames

CYCLE = 50  # frames of the generated video that is repeated
SHORT = 3  # frames after the reference in each video of many sizes


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.long_video",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.long_video --config configs/aott.py --frames 10000 --sizes 20",
    )
    add_network_flags(parser, "configs/aost.py")
    add, default = parser.add_argument, "(default: %(default)s)"
    add("--depth", type=int, metavar="N", help="LSTT layers (default: all)")
    add("--frames", type=int, default=10_000, metavar="N", help=default)
    add("--every", type=int, default=500, metavar="N", help=f"frames of a row {default}")
    add("--height", type=int, default=64, metavar="PIXELS", help=f"height of a frame {default}")
    add("--width", type=int, default=96, metavar="PIXELS", help=f"width of a frame {default}")
    add("--max_frames", type=int, default=16, metavar="N", help=f"memory frames at most {default}")
    add("--sizes", type=int, default=20, metavar="N", help=f"videos, each larger {default}")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_long, argv)


def measure_long(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print the long video and the videos of many sizes."""
    network = find_network(args, overrides)
    depth = check_depth(network.config, args.depth)
    model = network.load()
    figures: dict = {"config": network.config.name, "depth": depth}
    with Compilations() as compilations:
        figures["long"] = track_long(model, depth, args, compilations)
        print("\n" + format_long(figures["long"]))
        figures["sizes"] = [track_sizes(model, depth, args, compilations) for _ in range(2)]
        print("\n" + format_sizes(*figures["sizes"]))
    return figures


def track_long(model: Model, depth: int, args: argparse.Namespace, compilations: Compilations) -> list[dict]:
    """Track one long video; returns a row for each `--every` frames."""
    video = generate_video(2, min(CYCLE, args.frames), args.height, args.width)
    tracker = Tracker(model, depth, max_frames=args.max_frames)
    tracker.step(video.frames[0], video.mask)
    onward, rows, done = video.onward(), [], 0
    while done < args.frames:
        count = min(args.every, args.frames - done)
        compiling, start = compilations.seconds, time.perf_counter()
        for frame in itertools.islice(onward, count):
            tracker.step(frame)
        elapsed = time.perf_counter() - start
        done += count
        rows.append(
            {
                "frame": done,
                "frames_per_second": count / elapsed,
                "compiling": compilations.seconds - compiling,
                "rss": rss(),
                "memory_frames": memory_frames(tracker),
                "programs": compilations.count,
            }
        )
        print(f"frame {done}: {rows[-1]['frames_per_second']:.1f} frames/s", file=sys.stderr, flush=True)
    return rows


def track_sizes(model: Model, depth: int, args: argparse.Namespace, compilations: Compilations) -> list[dict]:
    """Track a short video of each of many sizes; returns a row for each, with the number of programs compiled."""
    rows = []
    programs = {name: x for name, x in vars(frame_programs).items() if callable(x) and hasattr(x, "lower")}
    fields = {name: inspect.signature(program).parameters.keys() for name, program in programs.items()}
    network = {name for name in fields if "params" in fields[name] and "view" not in fields[name]}
    for i in range(args.sizes):
        size = args.height + 2 * i, args.width + 3 * i
        video = generate_video(2, SHORT, *size)
        before = compilations.names.copy()
        tracker = Tracker(model, depth, gap=0)
        tracker.step(video.frames[0], video.mask)
        for frame in video.frames[1:]:
            tracker.step(frame)
        new = compilations.names - before
        rows.append(
            {
                "size": size,
                "input": input_size(model.config, size),
                "network": sum(new[name] for name in network),
                "small": new.total() - sum(new[name] for name in network),
                "rss": rss(),
            }
        )
    return rows


def format_long(rows: list[dict]) -> str:
    """Format the rows of the long video, and how much they change once memory is full."""
    table = format_table(
        ("frame", "frames/s", "compiling s", "RSS MiB", "memory frames", "programs"),
        [list(row.values()) for row in rows],
    )
    full = next((i for i, row in enumerate(rows) if row["memory_frames"] == rows[-1]["memory_frames"]), 0) + 1
    first, last = rows[min(full, len(rows) - 1)], rows[-1]
    return (
        f"{table}\nfrom frame {first['frame']} to {last['frame']}: {last['rss'] - first['rss']:+.1f} MiB, speed times "
        f"{last['frames_per_second'] / first['frames_per_second']:.2f}, {last['programs'] - first['programs']} programs"
    )


def format_sizes(rows: list[dict], again: list[dict]) -> str:
    """Format the rows of the videos of many sizes, and the programs compiled by running them again."""

    def text(size: tuple[int, int]) -> str:
        return f"{size[0]}x{size[1]}"

    table = [[text(row["size"]), text(row["input"]), row["network"], row["small"], row["rss"]] for row in rows]
    inputs = {tuple(row["input"]) for row in rows}
    network, small = (sum(row[name] for row in rows) for name in ("network", "small"))
    more = sum(row["network"] + row["small"] for row in again)
    return (
        format_table(("frame", "network's input", "programs with it", "small programs", "RSS MiB"), table)
        + f"\n{len(rows)} sizes, {len(inputs)} inputs of the network: {network} programs with the network "
        f"({network / len(inputs):.1f} for each input), {small} small ones; the same sizes again: {more} programs"
    )


if __name__ == "__main__":
    run_main(main)
