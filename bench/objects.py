"""Measure what objects cost: a frame with 1, 5, 10, 20, 44 of them, and 44 at once against separate runs of ten.

    python -m bench.objects --config configs/aott.py
    python -m bench.objects --config configs/aott.py --video clip/JPEGImages --mask clip/first_mask.png

Up to ten objects share a pass of the network; more are groups of ten, which share the encoder. A separate run tracks
ten objects (the last what is left) on its own; the times of all that hold the same objects are added.
"""

import argparse
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
from aot_jax.tracker.groups import group_count
from aot_jax.tracker.tracker import Tracker
from bench.inference import ERRORS, check_depth
from bench.measure import Rulers, add_json_flag, describe_machine, format_table, numbers, write_json
from bench.steps import WARM_UP, time_clip
from bench.videos import Clip, add_clip_flags, load_clip

OBJECTS = [1, 5, 10, 20, 44]
MOST_OF_SEPARATE = 0.6  # of the time of separate runs that the most objects may take at once
SAME = 1.1  # times a frame with one object that a frame with ten may take, to be called the same


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.objects",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.objects --config configs/aott.py --frames 12 --objects 1,10,44",
    )
    add_config_flags(parser, "configs/aott.py")
    parser.add_argument(
        "--objects", type=numbers, help="one run for each number (default: 1,5,10,20,44, or as many as a mask has)"
    )
    parser.add_argument("--depth", type=int, help="LSTT layers (default: all)")
    add_clip_flags(parser, frames=WARM_UP + 10)
    add_json_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    print(describe_machine())
    try:
        config = load_config(args.config, overrides)
        depth = check_depth(config, args.depth)
        counts = args.objects or OBJECTS
        if args.video is not None and args.objects is None:
            most = len(load_clip(args).ids)
            counts = sorted({min(count, most) for count in OBJECTS})
        clips = [load_clip(args, count) for count in counts]
        model = load_model(config)
        rulers = Rulers(model.module.dtype)
        figures = measure_objects(model, depth, clips, rulers)
        print("\n" + format_objects(figures, rulers))
        write_json(args.json, "bench.objects", argv, {"config": config.name, "depth": depth, **figures})
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure_objects(model: Model, depth: int, clips: list[Clip], rulers: Rulers) -> dict:
    """Time a frame of each clip, and of the last one's objects ten by ten; times in seconds.

    All run there and back again, so that a machine that gets slower or faster does so for all of them.
    """
    share, last = model.config.model.identities, clips[-1]
    parts = [last.ids[i : i + share] for i in range(0, len(last.ids), share)]
    runs = [*clips, *(last.only(ids) for ids in parts if len(parts) > 1)]
    times: list[list[float]] = [[] for _ in runs]
    for clip, seconds in (*zip(runs, times, strict=True), *zip(runs[::-1], times[::-1], strict=True)):
        seconds.extend(time_clip(Tracker(model, depth), clip, rulers)[0])
    medians = [statistics.median(seconds) for seconds in times]
    rows = [
        {"objects": len(clip.ids), "groups": group_count(len(clip.ids), share), "seconds": seconds}
        for clip, seconds in zip(clips, medians, strict=False)
    ]
    separate = medians[len(clips) :]
    return {
        "clip": last.name,
        "frame": last.size,
        "share": share,
        "rows": rows,
        "separate": separate,
        "of_separate": rows[-1]["seconds"] / sum(separate) if separate else None,
        **rulers.record(),
    }


def format_objects(figures: dict, rulers: Rulers) -> str:
    """Lay out the figures for a terminal."""
    rows, (height, width) = figures["rows"], figures["frame"]
    first, last = rows[0], rows[-1]
    table = [
        [row["objects"], row["groups"], 1e3 * seconds, rulers.units(seconds), seconds / first["seconds"]]
        for row, seconds in ((row, row["seconds"]) for row in rows)
    ]
    lines = [
        f"{height}x{width} ({figures['clip']})",
        rulers.describe(),
        "",
        format_table(("objects", "groups", "ms", "units", f"over {first['objects']}"), table),
    ]
    ten = [row for row in rows if row["objects"] <= figures["share"]]
    if len(ten) > 1:
        ratio = max(row["seconds"] for row in ten) / min(row["seconds"] for row in ten)
        same = "the same" if ratio <= SAME else "NOT the same"
        lines.append(f"{ten[0]['objects']} to {ten[-1]['objects']} objects: times differ by {ratio:.2f}: {same}")
    if figures["separate"]:
        verdict = "within" if figures["of_separate"] <= MOST_OF_SEPARATE else "above"
        lines.append(
            f"{last['objects']} objects at once take {figures['of_separate']:.2f} of {len(figures['separate'])} "
            f"separate runs ({1e3 * sum(figures['separate']):.4g} ms): {verdict} the target of {MOST_OF_SEPARATE}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
