"""Keep batches in files, for training where TensorFlow is not installed, or where augmenting is too slow.

    python -m data_pipeline.pack FOLDER --config configs/aott.py --batches 200
    python train.py --config configs/aott.py --packed FOLDER

FOLDER/00000000.npz ... hold one batch each, all hosts' samples; FOLDER/pack.json says how they were made. A run that
is longer than the folder visits it again from the start. `train.py` reads them; nothing here needs TensorFlow but the
command itself.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from aot_jax.config import ConfigError, load_config
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.io.files import atomic_write, clear_remains
from aot_jax.io.npz import read_npz
from aot_jax.network import check_crop
from aot_jax.start import load_tensorflow, run
from data_pipeline.errors import DataError

# What decides the contents of a batch; workers, folders and the like do not.
FREE = ("root", "prepared", "workers", "prefetch", "on_bad_file")


def recipe(config: ConfigDict) -> dict:
    """Return what batches depend on, as JSON."""
    data = json.loads(config.data.to_json_best_effort())
    return {
        "seed": config.seed,
        "batch_size": config.train.batch_size,
        "data": {k: v for k, v in data.items() if k not in FREE},
    }


def write_batches(folder: Path, config: ConfigDict, batches: Iterator[dict[str, np.ndarray]], count: int) -> None:
    """Write `count` batches. A folder that was begun with the same recipe goes on after the batches it has.

    Raises:
      DataError: the folder holds batches of another recipe.
      OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clear_remains(folder)
    description = folder / "pack.json"
    if description.exists():
        _check(folder, config)
    else:
        with atomic_write(description) as temporary:
            temporary.write_text(json.dumps(recipe(config), indent=2) + "\n")
    for number in tqdm(range(count), desc=f"pack {folder}", unit="batch", disable=None):
        batch: dict[str, Any] = next(batches)
        path = folder / f"{number:08d}.npz"
        if not path.exists():
            with atomic_write(path) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, **batch)


def read_batches(
    folder: Path, config: ConfigDict, start: int, host: int, hosts: int
) -> Iterator[dict[str, np.ndarray]]:
    """Read batches from step `start` on, this host's share of each, without end.

    Sample numbers go on where the folder starts again, so that random bits differ from the first visit.

    Raises:
      DataError: the folder holds no batches, or those of another recipe, or a file is broken.
    """
    _check(folder, config)
    paths = sorted(folder.glob("[0-9]*.npz"))
    if not paths:
        raise DataError(f"{folder} holds no batches: write some with python -m data_pipeline.pack {folder}")

    def read(step: int) -> dict[str, np.ndarray]:
        path = paths[step % len(paths)]
        try:
            arrays = read_npz(path)
            batch = {name: arrays[name][host::hosts] for name in ("images", "masks", "objects", "index")}
        except Exception as error:
            raise DataError(f"{path} cannot be read: {error}; delete it and pack again") from error
        batch["index"] = batch["index"] % config.train.batch_size + step * config.train.batch_size
        return batch

    return (read(step) for step in iter(range(start, sys.maxsize)))


def _check(folder: Path, config: ConfigDict) -> None:
    path = folder / "pack.json"
    try:
        saved = json.loads(path.read_text())
        wrong = [
            f"{name}: {saved['data'].get(name)!r} in the files, {value!r} in the config"
            for name, value in recipe(config)["data"].items()
            if saved["data"].get(name) != value
        ]
        wrong += [
            f"{name}: {saved[name]!r} in the files, {value!r} in the config"
            for name, value in recipe(config).items()
            if name != "data" and saved[name] != value
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): is {folder} a folder of packed batches? "
            "python -m data_pipeline.pack writes one"
        ) from None
    if wrong:
        raise DataError(f"{folder} was packed with another recipe:\n  " + "\n  ".join(wrong) + "\npack another folder")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.pack",
        description="Keep batches in files, for training where TensorFlow is not installed.",
        epilog="example: python -m data_pipeline.pack packed/ --config configs/aott.py --batches 200. The same command "
        "again goes on; python train.py --config configs/aott.py --packed packed/ trains on them.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to")
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--batches", type=int, metavar="N", help="how many (default: train.steps of the config)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    args, overrides = parse_args(make_parser(), argv)
    try:
        config = load_config(args.config, overrides)
        check_crop(config)
        load_tensorflow()
        from data_pipeline.pipeline import iterate, make_dataset

        dataset = make_dataset(config.data, seed=config.seed, batch_size=config.train.batch_size)
        count = args.batches or config.train.steps
        write_batches(args.folder, config, iterate(dataset), count)
    except ImportError as error:
        print(f"error: the data pipeline cannot start ({error}): pip install -r requirements.txt", file=sys.stderr)
        return 2
    except (ConfigError, DataError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    run(main)
