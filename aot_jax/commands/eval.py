"""Segment the videos of a benchmark split; score the masks, or pack them for the benchmark's server.

python eval.py --split youtubevos18
python eval.py --split davis16 --config configs/aost.py --depth 2
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from aot_jax.evaluation.benchmark import EvaluationOptions, Stopped, evaluate, format_outcome
from aot_jax.evaluation.splits import SPLITS
from aot_jax.flags import (
    above_zero,
    add_distributed_flags,
    add_inference_flags,
    add_network_flags,
    at_least,
    network_choice,
    parse_args,
)
from aot_jax.start import reports_errors
from aot_jax.start.hosts import join_hosts

SCALES = (1.2, 1.3, 1.4)  # default scales of test-time augmentation (paper, section 5)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python eval.py --split davis16 --config configs/aost.py --depth 2. The same command "
        "again continues after the finished videos.",
    )
    parser.add_argument("--split", required=True, choices=SPLITS, help="benchmark split")
    add_network_flags(parser)
    add_inference_flags(parser)
    parser.add_argument("--data", metavar="DIR", help="folder of datasets (default: $VOS_DATA or ./data)")
    output = "folder for masks and scores (default: results/SPLIT/CONFIG...)"
    parser.add_argument("--output", type=Path, metavar="DIR", help=output)
    parser.add_argument("--overwrite", action="store_true", help="start again in a folder with other results")
    parser.add_argument("--all_frames", action="store_true", help="YouTube-VOS at 30 frames a second instead of 6")
    resolution = "resolution of DAVIS (default: 480p)"
    parser.add_argument("--resolution", choices=("480p", "Full-Resolution"), default="480p", help=resolution)
    multi_scale = "average over these scales of the input (none given: 1.2 1.3 1.4)"
    parser.add_argument("--multi_scale", type=above_zero, nargs="*", metavar="SCALE", help=multi_scale)
    parser.add_argument("--flip", action="store_true", help="average over mirrored frames too")
    devices = "devices of this host to use (default: all)"
    parser.add_argument("--devices", type=at_least(1), metavar="N", help=devices)
    at_once = "videos on each device, for throughput; those of one size run as one batch (default: 1)"
    parser.add_argument("--videos_at_once", type=at_least(1), default=1, metavar="N", help=at_once)
    add_distributed_flags(parser)
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    scales = (1.0,) if args.multi_scale is None else tuple(args.multi_scale) or SCALES
    values = vars(args) | {"scales": scales}
    options = EvaluationOptions(**{field.name: values[field.name] for field in fields(EvaluationOptions)})
    try:
        join_hosts(args.distributed, args.coordinator, args.processes, args.process)
        outcome = evaluate(options, network_choice(args, overrides))
    except (Stopped, KeyboardInterrupt) as stopped:
        print(str(stopped) or "stopped", file=sys.stderr)
        return 130
    if outcome is not None:  # None on all hosts but the first
        print("".join(f"warning: {warning}\n" for warning in outcome.warnings), end="", file=sys.stderr)
        print(format_outcome(outcome))
    return 0
