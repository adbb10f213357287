"""Train a model of the AOT family.

python train.py --config configs/aost_r50.py
"""

import argparse
import functools
import sys
from pathlib import Path

import jax

from aot_jax.config import load_config
from aot_jax.flags import add_config_flags, add_distributed_flags, parse_args
from aot_jax.start import reports_errors
from aot_jax.start.hosts import join_hosts
from aot_jax.training.loop import train
from data_pipeline.pipeline import make_batches


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python train.py --config configs/quickstart.py --config.train.steps=500. The same command "
        "again continues from the newest checkpoint.",
    )
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--allow_config_change", action="store_true", help="resume although the config has changed")
    add_distributed_flags(parser)
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    config = load_config(args.config, overrides)
    join_hosts(args.distributed, args.coordinator, args.processes, args.process)
    batches = functools.partial(make_batches, config.data, config.seed, config.train.batch_size)
    try:
        evaluate, sets = None, {}
        if config.train.evaluate_every or config.train.final_scores:
            from aot_jax.evaluation import held_out  # needs PyAV, which machines for training often lack

            sets = held_out.load_sets(config.train.evaluate_on, config.data.root)
            evaluate = functools.partial(held_out.score_sets, sets) if sets else None
        model = train(config, batches, evaluate, args.allow_config_change)
        if sets and config.train.final_scores and jax.process_index() == 0:
            print(held_out.report_run(model, next(iter(sets.values())), Path(config.train.output) / config.name))
    except KeyboardInterrupt:
        print("stopped; the same command continues from the newest checkpoint", file=sys.stderr)
        return 130
    return 0
