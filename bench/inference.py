"""Measure tracking: each compiled program of a frame and the whole step, beside what the device's matrix rate allows.

    python -m bench.inference --config configs/aott.py --height 480 --width 854 --frames 30

For every depth and number of objects one table. `segment` is the program that the tracker runs; `propagate` and
`decode` are its two parts, compiled apart. `input` uploads, resizes and normalises a frame; `output` fetches the labels
and maps them to a person's ids. `step` is `Tracker.step` as a person calls it, all of these in one, without waiting in
between but for the labels at its end. GFLOP counts every turn of the loops; XLA's own figures count a loop's body once.
The floor is GFLOP at the rate of matrix products measured in this run.
"""

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

import jax
from ml_collections import ConfigDict

from aot_jax.checkpoint import CheckpointError, Model, load_model
from aot_jax.config import DTYPES, ConfigError, add_config_flags, load_config, make_model, parse_args
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError
from aot_jax.tracker import Tracker
from bench.measure import (
    Compilations,
    Rulers,
    add_json_flag,
    describe_machine,
    format_table,
    fresh_compilation,
    numbers,
    write_json,
)
from bench.probe import OUTPUT, PARTS, STEP, Probe, memory_frames
from bench.videos import Clip, ClipError, add_clip_flags, load_clip

WARM_UP = 2  # frames after the reference that do not count
RULER_EVERY = 3  # frames between measurements of the unit
ENOUGH = 10  # frames for a median
ERRORS = (CheckpointError, ClipError, ConfigError, FrameError, MaskError, OSError)

# Units that a frame may take, and what the authors' code takes as shipped, by config and depth: 480x854 frames, two
# objects, frames 1 - 30 of a clip, float32, two CPU cores, without its CUDA extension.
TARGETS = {("aott", 1): 5.3, ("aots", 2): 8.3, ("aotl", 3): 12.0, ("aotl_r50", 3): 13.7, ("aost", 3): 12.0}
ORIGINAL = {("aott", 1): 16, ("aots", 2): 25, ("aotl", 3): 36, ("aotl_r50", 3): 41}
OVER_FLOOR = 2.5  # times the floor that a whole step may take

HEADERS = ("", "compile s", "ms", "frames/s", "units", "GFLOP", "XLA GFLOP", "XLA MB", "floor ms", "over floor")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.inference",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.inference --config configs/aost.py --depth 1,2,3 --objects 1,10,20",
    )
    add_config_flags(parser, "configs/aott.py")
    parser.add_argument("--objects", type=numbers, help="one run for each number (default: 2, or 1 if a mask has 1)")
    parser.add_argument("--depth", type=numbers, help="LSTT layers, one run for each number (default: all)")
    parser.add_argument("--checkpoint", metavar="DIR", help="weights (default: drawn; times do not depend on them)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the network's arithmetic (default: the config's)")
    add_clip_flags(parser, frames=30)
    add_json_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    print(describe_machine())
    try:
        config = load_config(args.config, overrides)
        depths = check_depths(config, args.depth)
        clips = [pick_clip(args, objects) for objects in args.objects or [None]]
        model = load_model(config, args.checkpoint, dtype=args.dtype)
        rulers = Rulers(model.module.dtype)
        cases = []
        with fresh_compilation():
            for depth, clip in itertools.product(depths, clips):
                case = measure_case(model, clip, depth, rulers)
                cases.append(case)
                print("\n" + format_case(case, rulers), flush=True)
        write_json(args.json, "bench.inference", argv, {"config": model.config.name, "cases": cases})
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def check_depths(config: ConfigDict, depths: list[int] | None) -> list[int]:
    """Return the depths to run; None: the network's own.

    Raises:
        ConfigError: for a depth that the network does not have.
    """
    try:
        return [make_model(config).depth(depth) for depth in depths or [None]]
    except ValueError as error:
        raise ConfigError(f"--depth: {error}") from None


def pick_clip(args: argparse.Namespace, objects: int | None) -> Clip:
    """Return the clip with so many objects; None: two, or one where a mask has no more.

    Raises:
        ClipError: if there is none, or it is too short to time.
    """
    if objects is None:
        objects = 2 if args.video is None else min(2, len(load_clip(args).ids))
    clip = load_clip(args, objects)
    if len(clip.frames) <= WARM_UP + 1:
        raise ClipError(f"{len(clip.frames) - 1} frames are too few: the first {WARM_UP} only warm up")
    return clip


def measure_case(model: Model, clip: Clip, depth: int, rulers: Rulers) -> dict:
    """Track a clip twice, program by program and then as it is, and return all figures; times in seconds."""
    probe = Probe()
    with probe:
        track(Tracker(model, depth), clip, rulers, probe)
    with Compilations() as compilations:
        step, seen = track(Tracker(model, depth), clip, rulers, compilations=compilations)
    rulers.measure()
    programs = {}
    for name in (*STEP[:2], *PARTS, *STEP[2:], OUTPUT):
        xla_flops, xla_bytes = probe.xla(name)
        programs[name] = {
            "compile": probe.compile_seconds.get(name),
            "seconds": probe.seconds(name),
            "flops": probe.flops(name),
            "xla_flops": xla_flops,
            "xla_bytes": xla_bytes,
        }
    programs["step"] = {
        "compile": sum(probe.compile_seconds[name] for name in STEP),
        "seconds": statistics.median(step),
        "flops": probe.step_flops(),
        "xla_flops": sum(programs[name]["xla_flops"] or 0 for name in STEP),
        "xla_bytes": sum(programs[name]["xla_bytes"] or 0 for name in STEP),
    }
    for figures in programs.values():
        figures["units"] = rulers.units(figures["seconds"])
        figures["floor"] = figures["flops"] / rulers.matrix.rate if figures["flops"] else None
        figures["over_floor"] = figures["seconds"] / figures["floor"] if figures["floor"] else None
    return {
        "config": model.config.name,
        "depth": depth,
        "dtype": jax.numpy.dtype(model.module.dtype).name,
        "clip": clip.name,
        "frame": clip.size,
        "objects": len(clip.ids),
        "gap": model.config.memory.gap,
        "memory_frames": {"median": statistics.median(seen), "least": min(seen), "most": max(seen)},
        "frames": len(step),
        "step_seconds": step,
        "programs": programs,
        **rulers.record(),
    }


def track(
    tracker: Tracker,
    clip: Clip,
    rulers: Rulers,
    probe: Probe | None = None,
    compilations: Compilations | None = None,
) -> tuple[list[float], list[int]]:
    """Track a clip; returns the seconds of each frame that counts, and how many memory frames it attended to."""
    seconds, seen = [], []
    tracker.step(clip.frames[0], clip.mask)
    for t, frame in enumerate(clip.frames[1:]):
        if t % RULER_EVERY == 0:
            rulers.measure()
        stored, compiled = memory_frames(tracker), compilations and compilations.count
        if probe and t >= WARM_UP:
            probe.frame(stored)
        start = time.perf_counter()
        tracker.step(frame)
        elapsed = time.perf_counter() - start
        if t >= WARM_UP and compiled == (compilations and compilations.count):
            seconds.append(elapsed)
            seen.append(stored)
    return seconds, seen


def format_case(case: dict, rulers: Rulers) -> str:
    """Lay out a case for a terminal: its setting, a table, and the targets that are known for it."""
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
    step = case["programs"]["step"]
    key = case["config"], case["depth"]
    if key in TARGETS:
        original = f"; the authors' code takes {ORIGINAL[key]}" if key in ORIGINAL else ""
        lines.append(_verdict("units a frame", step["units"], TARGETS[key], " at 480x854, two objects" + original))
    lines.append(_verdict("step over floor", step["over_floor"], OVER_FLOOR))
    return "\n".join(lines)


def _row(name: str, figures: dict) -> list:
    def scaled(key: str, factor: float) -> float | None:
        return figures[key] * factor if figures[key] else None

    return [
        name,
        scaled("compile", 1.0),
        1e3 * figures["seconds"],
        1 / figures["seconds"],
        figures["units"],
        scaled("flops", 1e-9),
        scaled("xla_flops", 1e-9),
        scaled("xla_bytes", 1e-6),
        scaled("floor", 1e3),
        figures["over_floor"],
    ]


def _verdict(what: str, value: float, most: float, note: str = "") -> str:
    return f"{what}: {value:.2f}, {'within' if value <= most else 'above'} the target of {most:g}{note}"


if __name__ == "__main__":
    sys.exit(main())
