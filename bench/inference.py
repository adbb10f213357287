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
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import use_huge_pages

    use_huge_pages()

import jax
import numpy as np
from ml_collections import ConfigDict

from aot_jax.checkpoint import CheckpointError
from aot_jax.config import ConfigError, load_config
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError
from aot_jax.network import DTYPES, Model, load_model, make_model
from aot_jax.preprocess import inference_size, normalise, resize_cubic, resize_nearest
from aot_jax.tracker.tracker import Tracker
from bench import peer
from bench.batch import time_batch
from bench.measure import (
    Rulers,
    add_json_flag,
    describe_machine,
    fresh_compilation,
    numbers,
    write_json,
)
from bench.probe import OUTPUT, PARTS, STEP, Probe
from bench.report import format_case
from bench.steps import WARM_UP, time_clip
from bench.videos import Clip, ClipError, add_clip_flags, load_clip

ERRORS = (CheckpointError, ClipError, ConfigError, FrameError, MaskError, OSError, peer.PeerError)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.inference",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.inference --config configs/aost.py --depth 1,2,3 --objects 1,10,20",
    )
    add_config_flags(parser, "configs/aott.py")
    parser.add_argument("--objects", type=numbers, help="one run for each number (default: 2, or 1 if a mask has 1)")
    parser.add_argument("--depth", type=numbers, help="LSTT layers, one run for each number (default: all)")
    parser.add_argument("--checkpoint", metavar="DIR", help="weights (default: drawn; times do not depend on them)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the network's arithmetic (default: the config's)")
    parser.add_argument(
        "--peer", type=Path, metavar="PATH", help="checkout of the authors' PyTorch code to time beside"
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="also track N copies of the clip at once, for throughput"
    )
    add_clip_flags(parser, frames=30)
    add_json_flag(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    print(describe_machine())
    try:
        config = load_config(args.config, overrides)
        depths = [check_depth(config, depth) for depth in args.depth or [None]]
        clips = [pick_clip(args, objects) for objects in args.objects or [None]]
        model = load_model(config, args.checkpoint, dtype=args.dtype)
        rulers = Rulers(model.module.dtype)
        cases = []
        with fresh_compilation():
            for depth, clip in itertools.product(depths, clips):
                case = measure_case(model, clip, depth, rulers)
                if args.batch:
                    case["batch"] = time_batch(model, clip, depth, args.batch)
                if args.peer:
                    case["peer"] = measure_peer(args.peer, model, clip, depth, rulers)
                cases.append(case)
                print("\n" + format_case(case, rulers), flush=True)
        write_json(args.json, "bench.inference", argv, {"config": model.config.name, "cases": cases})
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def check_depth(config: ConfigDict, depth: int | None) -> int:
    """Return the depth to run; None: the network's own.

    Raises:
        ConfigError: if the network does not have it.
    """
    try:
        return make_model(config).depth(depth)
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
        time_clip(Tracker(model, depth), clip, rulers, probe)
    step, seen = time_clip(Tracker(model, depth), clip, rulers)
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


def measure_peer(path: Path, model: Model, clip: Clip, depth: int, rulers: Rulers) -> dict:
    """Track the same frames with the authors' code; see `peer.time_tracking`."""
    align, longest = model.config.model.align_corners, model.config.inference.max_long_edge
    size = inference_size(*clip.size, max_long_edge=longest, align_corners=align)
    images = [np.asarray(normalise(resize_cubic(frame, size)))[None] for frame in clip.frames]
    mask = np.searchsorted(sorted([0, *clip.ids]), resize_nearest(clip.mask, size))
    return peer.time_tracking(path, model.config, depth, images, mask, clip.size, rulers, WARM_UP)


if __name__ == "__main__":
    sys.exit(main())
