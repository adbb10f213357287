"""List the networks that can be chosen: `python -m aot_jax.configs`.

Parameters are counted from their shapes; no weights are initialised.
"""

import argparse
import math
from collections.abc import Sequence

import jax
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from aot_jax.config import config_names, has_stages, load_config
from aot_jax.flags import parse_args
from aot_jax.network import make_model, param_shapes
from aot_jax.start import reports_errors, run

MASK_TOKEN = 256  # parameters of the unused mask token in the release's block v1
WIDEST = 10  # width of the column of parameters, in characters
TITLES = ("config", "encoder", "LSTT block", "depth", "parameters", "a memory frame every")


def count_parameters(config: ConfigDict) -> int:
    """Count a network's parameters as the paper does.

    The four vectors of a frozen batch norm are not counted. Networks with block v1 count the release's `mask_token`,
    256 numbers that nothing uses and that the network here does not have.
    """
    flat = flatten_dict(param_shapes(make_model(config)))
    frozen = {path[:-1] for path in flat if path[-1] == "var"}
    counted = sum(math.prod(leaf.shape) for path, leaf in flat.items() if path[:-1] not in frozen)
    return counted + (MASK_TOKEN if config.model.block == "v1" else 0)


def describe(config: ConfigDict) -> list[str]:
    """Return a config's row under `TITLES`, without the number of parameters, which takes longer."""
    model, memory = config.model, config.memory
    often = f"{memory.gap} (training: {memory.train_gap})" if memory.gap else "- (reference only)"
    return [
        config.name,
        model.encoder,
        model.block + (", one for all layers" if model.share_blocks else ""),
        f"1 - {model.depth}" if model.scalable and model.depth > 1 else str(model.depth),
        "",
        often + (f", {memory.max_frames} at most" if memory.max_frames else ""),
    ]


def print_table(configs: Sequence[ConfigDict]) -> None:
    """Print the table, each row as soon as it is computed."""
    rows = [list(TITLES), *map(describe, configs)]
    right = TITLES.index("parameters")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[right] = WIDEST
    for row, config in zip(rows, [None, *configs], strict=True):
        if config is not None:
            row[right] = f"{count_parameters(config):,}".rjust(WIDEST)
        print("  ".join(map(str.ljust, row, widths)).rstrip(), flush=True)


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.configs",
        description="List configs with encoder, LSTT block, depth, parameters and memory.",
        epilog="example: python -m aot_jax.configs aost aost_r50 --config.model.depth=2. --config.FIELD=VALUE "
        "overrides a field of all that are listed; configs/common.py says what the fields are.",
    )
    parser.add_argument("names", nargs="*", metavar="CONFIG", help="names or files (default: all of configs/)")
    return parser


@reports_errors
def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for a config that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    print_table([load_config(name, overrides) for name in args.names or config_names()])
    if not args.names:
        single = [name for name in config_names() if not has_stages(name)]
        others = f" but {', '.join(single)}" if single else ""
        print(f"\nNAME:pretrain is the first stage of training, on still images, of all{others}")
        print("parameters: without frozen batch norms; block v1 with the 256 of the release's unused mask_token")
    return 0


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # shapes need no accelerator, and another program may hold it
    run(main)
