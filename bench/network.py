"""Choose the network of a tracking benchmark."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from ml_collections import ConfigDict

from aot_jax import network
from aot_jax.config import ConfigError
from aot_jax.network import FoundNetwork, NetworkChoice, make_model
from aot_jax.preprocess import inference_size
from aot_jax.typing import Size


def add_network_flags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the flags that `find_network` reads; `default` is the config if no weights ship."""
    weights = "weights, as eval.py takes them; with --config alone they are drawn, for times do not depend on them"
    parser.add_argument("--checkpoint", metavar="PATH", help=weights)
    config = (
        f"config of the network (default: that of the weights; without --checkpoint, the network that eval.py takes, "
        f"or {default} where no weights ship); --config.FIELD=VALUE overrides one of its fields"
    )
    parser.add_argument("--config", metavar="FILE", help=config)
    parser.set_defaults(default_config=default)


def find_network(args: argparse.Namespace, overrides: Sequence[str]) -> FoundNetwork:
    """Find the network that the flags name, and print which it is.

    Raises:
        ConfigError, CheckpointError: if there is none.
    """
    drawn = not args.checkpoint and (args.config is not None or not network.SHIPPED.is_file())
    config = args.config or (args.default_config if drawn else None)
    found = network.find_network(NetworkChoice(config, args.checkpoint, drawn, tuple(overrides)))
    if drawn:
        found = replace(found, why="times do not depend on them")
    print(found, flush=True)
    return found


def input_size(config: ConfigDict, size: Size) -> Size:
    """Return the size of the network's input for frames of a size."""
    inference = config.inference
    return inference_size(*size, max_long_edge=inference.max_long_edge, align_corners=config.model.align_corners)


def check_depth(config: ConfigDict, depth: int | None) -> int:
    """Return the depth to run; `depth` None: all layers.

    Raises:
        ConfigError: if the network does not have this depth.
    """
    try:
        return make_model(config).depth(depth)
    except ValueError as error:
        raise ConfigError(f"--depth: {error}") from None
