"""Command-line flags that several commands share: the network and its config, numbers within bounds."""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Literal

from aot_jax.network import DEFAULT_CONFIG, DTYPES, NetworkChoice


def add_config_flags(parser: argparse.ArgumentParser, default: str) -> None:
    """Add `--config FILE` to a command; `parse_args` below also takes `--config.FIELD=VALUE`."""
    config = (
        "config of network, data and training: a Python file, which is run, or a name that python -m aot_jax.configs "
        "lists (default: %(default)s); FILE:pretrain: its first stage of training; --config.FIELD=VALUE overrides one "
        "of its fields, as in --config.model.depth=2"
    )
    parser.add_argument("--config", default=default, metavar="FILE", help=config)


def add_network_flags(
    parser: argparse._ActionsContainer, checkpoints: Literal["+"] | None = None, more: str = ""
) -> None:
    """Add the flags that `network_choice` reads to a parser or a group of flags.

    Args:
        parser: parser or group to extend.
        checkpoints: "+" if --checkpoint takes several paths.
        more: text appended to the help of --checkpoint.
    """
    weights = (
        "weights: a folder, a training run's, or a .safetensors file (default: checkpoints/CONFIG, else runs/CONFIG, "
        f"else, without --config, those of the package){more}"
    )
    parser.add_argument("--checkpoint", nargs=checkpoints, metavar="PATH", help=weights)
    config = (
        "config of the network, Python that is run (default: the checkpoint's own, which is read as data, else "
        f"{DEFAULT_CONFIG}); --config.FIELD=VALUE overrides one of its fields"
    )
    parser.add_argument("--config", metavar="FILE", help=config)
    random = "random weights, to try a command without a checkpoint"
    parser.add_argument("--random_weights", action="store_true", help=random)


def add_inference_flags(parser: argparse._ActionsContainer) -> None:
    """Add --depth, and --max_long_edge and --dtype, which `network_choice` turns into overrides."""
    depth = "LSTT layers to run, for scalable models (default: all)"
    parser.add_argument("--depth", type=at_least(1), metavar="N", help=depth)
    edge = "longest edge of the network's input; 0: the frame's (default: the config's)"
    parser.add_argument("--max_long_edge", type=at_least(0), metavar="PIXELS", help=edge)
    dtype = "dtype of the network's arithmetic (default: the config's)"
    parser.add_argument("--dtype", choices=sorted(DTYPES), help=dtype)


def add_distributed_flags(parser: argparse.ArgumentParser) -> None:
    """Add --distributed and the flags for clusters that JAX does not recognise; see `start.hosts.join_hosts`."""
    distributed = (
        "connect to the run's other processes; under Slurm, Open MPI and Kubernetes the next three are detected, and "
        "under Slurm with several tasks this flag is not needed either"
    )
    parser.add_argument("--distributed", action="store_true", help=distributed)
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0, if it is not detected")
    parser.add_argument("--processes", type=int, metavar="N", help="number of processes")
    parser.add_argument("--process", type=int, metavar="I", help="index of this process, from 0")


def network_choice(args: argparse.Namespace, overrides: Sequence[str]) -> NetworkChoice:
    """Build a `NetworkChoice` from the flags of `add_network_flags` and the overrides of config fields."""
    inference = {name: getattr(args, name, None) for name in ("max_long_edge", "dtype")}  # not in every command
    fields = (f"inference.{name}={value}" for name, value in inference.items() if value is not None)
    return NetworkChoice(args.config, args.checkpoint, args.random_weights, (*overrides, *fields))


def parse_args(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None = None
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line; return `--config.FIELD=VALUE` (or `--config.FIELD VALUE`) separately, as overrides."""
    argv = list(sys.argv[1:] if argv is None else argv)
    rest, overrides = [], []
    while argv:
        argument = argv.pop(0)
        if not argument.startswith("--config."):
            rest.append(argument)
            continue
        name = argument.removeprefix("--config.")
        if "=" not in name:
            if not argv:
                parser.error(f"{argument} has no value")
            name = f"{name}={argv.pop(0)}"
        overrides.append(name)
    return parser.parse_args(rest), overrides


def at_least(low: int) -> Callable[[str], int]:
    """Return an argparse type for integers from `low` up."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least {low}")
        return value

    return number


def above_zero(text: str) -> float:
    """Parse a positive finite number; an argparse type."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value
