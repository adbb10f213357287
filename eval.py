"""Segment the videos of a benchmark split and score the masks.

python eval.py --split davis16 --config configs/aost.py --depth 2
"""

import argparse
import sys
from pathlib import Path

from aot_jax import Tracker
from aot_jax.checkpoint import CheckpointError, default_checkpoint, load_model
from aot_jax.config import DTYPES, ConfigError, add_config_flags, load_config, parse_args
from aot_jax.evaluation import run, splits
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError
from aot_jax.metrics import MetricsError, summarise
from aot_jax.tracker import TrackError


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="eval.py",
        description=__doc__.splitlines()[0],
        epilog="example: python eval.py --split davis16 --config configs/aost.py --depth 2 --data ~/data",
    )
    parser.add_argument("--split", required=True, choices=splits.SPLITS, help="benchmark split")
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--checkpoint", metavar="DIR", help="weights (default: checkpoints/<config name>)")
    parser.add_argument("--random_weights", action="store_true", help="run without a checkpoint, to try things out")
    parser.add_argument("--data", metavar="DIR", help="folder that holds DAVIS/ (default: $VOS_DATA or ./data)")
    parser.add_argument("--depth", type=int, help="LSTT layers to run, for scalable models (default: all)")
    parser.add_argument("--output", metavar="DIR", help="for masks and scores (default: results/SPLIT/CONFIG)")
    parser.add_argument("--resolution", choices=("480p", "Full-Resolution"), default="480p", help="of DAVIS frames")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="of the network's arithmetic (default: the config's)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    try:
        config = load_config(args.config, overrides)
        split = splits.load_split(args.split, args.data, args.resolution)
        checkpoint = None if args.random_weights else args.checkpoint or default_checkpoint(config)
        model = load_model(config, checkpoint, seed=config.seed, dtype=args.dtype)
        tracker = Tracker(model, args.depth, output_height=480 if args.resolution != "480p" else None)
        name = config.name + (f"_depth{tracker.depth}" if config.model.scalable else "")
        output = Path(args.output or Path("results") / args.split / name)
        timings = run.run_split(tracker, split, output)
        found = run.score_split(split, output)
        about = {
            "split": args.split,
            "config": config.name,
            "depth": tracker.depth,
            "checkpoint": str(checkpoint) if checkpoint else "random weights",
        }
        run.write_results(output, found.scores, timings, about)
    except (ConfigError, CheckpointError, splits.SplitError, FrameError, MaskError, TrackError, MetricsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(run.format_results(found.scores, timings))
    print(f"masks and scores: {output}")
    print(f"{summarise(found.scores)}  fps {run.overall_fps(timings):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
