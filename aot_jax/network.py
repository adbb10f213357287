"""Which network a command runs: its flags, and how config and checkpoint are found from each other."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ml_collections import ConfigDict

from aot_jax.checkpoint import FREE_FIELDS, CheckpointError, default_checkpoint, find_params
from aot_jax.config import ConfigError, fields, load_config

CONFIGS = Path(__file__).resolve().parents[1] / "configs"  # of this project, wherever it is run from
DEFAULT_CONFIG = "configs/aost_r50.py"


def add_network_flags(
    parser: argparse._ActionsContainer, checkpoints: Literal["+"] | None = None, more: str = ""
) -> None:
    """Add the flags that `find_network` reads to a parser or a group of flags.

    Args:
        parser: gets them.
        checkpoints: "+" where a list of several is taken.
        more: help on that.
    """
    weights = f"folder of weights, or of a training run (default: checkpoints/CONFIG, else runs/CONFIG){more}"
    parser.add_argument("--checkpoint", nargs=checkpoints, metavar="DIR", help=weights)
    parser.add_argument(
        "--config",
        metavar="FILE",
        help=f"config of the network, Python that is run (default: the checkpoint's own, which is read as data, else "
        f"{DEFAULT_CONFIG}); --config.FIELD=VALUE overrides one of its fields",
    )
    parser.add_argument("--random_weights", action="store_true", help="draw weights, to try things out")


def find_network(args: argparse.Namespace, overrides: Sequence[str]) -> tuple[ConfigDict, Path | None]:
    """Find config and checkpoint: a checkpoint knows its config; a config knows where its checkpoint is.

    Args:
        args: with the flags `checkpoint`, `config` and `random_weights`, each None or False where not given.
        overrides: of config fields.

    Returns:
        The config, and the folder of its weights; None for random ones.

    Raises:
        ConfigError, CheckpointError: if there is none; the message says what to do.
    """
    if args.checkpoint and not args.config:
        config = config_of(find_params(args.checkpoint), overrides)
    else:
        config = load_config(args.config or DEFAULT_CONFIG, overrides)
    if args.random_weights:
        return config, None
    return config, find_params(args.checkpoint) if args.checkpoint else default_checkpoint(config)


def config_of(checkpoint: Path, overrides: Sequence[str] = ()) -> ConfigDict:
    """Return the config of the network that a checkpoint holds.

    What it says is data: its name chooses among the configs of this project, and is never a file to run.

    Raises:
        CheckpointError: if its model.json is not readable.
        ConfigError: if what it says is no network.
    """
    shipped = {path.stem: path for path in CONFIGS.glob("*.py")}
    try:
        saved = json.loads((checkpoint / "model.json").read_text())["config"]
        file = shipped.get(saved["name"], shipped["common"])
        base = load_config(file)
        own = [
            f"{part}.{name}={saved[part][name]}"
            for part in ("model", "memory", "inference")
            for name, value in fields(base[part]).items()
            if name in saved[part] and saved[part][name] != value and name not in FREE_FIELDS
        ]
        return load_config(file, [*own, *overrides])
    except ConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise CheckpointError(
            f"{checkpoint / 'model.json'} is not readable: {error!r}; copy the checkpoint again, or name its --config"
        ) from error
