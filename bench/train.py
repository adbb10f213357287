"""Measure training: steps and clips a second, compile time, memory, and the share of time waiting for data.

    python -m bench.train --config configs/aott.py --config.data.crop=241 --config.train.batch_size=2

Updates are those of `train.py` in the first half of a run, when memory holds true masks. Each finishes before the next
batch is requested. Without --data the same generated clips are repeated and no time is spent waiting for data; with it,
the real pipeline makes every batch, and the unit is measured before the pipeline starts.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

if __name__ == "__main__":  # before anything else is loaded
    from aot_jax.start import use_huge_pages

    use_huge_pages()

import jax
import numpy as np
from ml_collections import ConfigDict

from aot_jax import start
from aot_jax.config import check_crop, load_config
from aot_jax.flags import add_config_flags
from aot_jax.io.generated import make_video
from aot_jax.network import make_model
from aot_jax.preprocess import normalise
from aot_jax.start.compiled import Compilations
from aot_jax.training.loop import TrainError, check_batch, first_params, train_dtype
from aot_jax.training.state import TrainState, make_state
from aot_jax.training.step import Batch, make_train_step, place, split
from aot_jax.typing import Params
from bench import peer
from bench.measure import BenchError, format_table, fresh_compilation, peak_rss, run
from bench.rulers import Rulers
from data_pipeline.pipeline import make_batches

WARM_UP = 2  # updates that are not timed
GENERATED = "generated"  # value of --data for generated videos


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.train",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.train --config configs/aott.py --config.data.crop=241 "
        "--config.train.batch_size=2 --steps 12",
    )
    add_config_flags(parser, "configs/aott.py")
    steps = "updates; the first 2 do not count (default: %(default)s)"
    parser.add_argument("--steps", type=int, default=12, metavar="N", help=steps)
    data = (
        "make batches by the real pipeline from the config's datasets in DIR, or from generated videos with "
        f"'{GENERATED}' (default: the same drawn clips again and again)"
    )
    parser.add_argument("--data", metavar="DIR", help=data)
    parser.add_argument("--peer", type=Path, metavar="PATH", help=peer.HELP)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_train, argv)


def measure_train(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print our updates, then the peer's."""
    config = load_config(args.config, [*overrides, *data_fields(args.data)])
    check_crop(config)
    check_batch(config)
    if args.steps <= WARM_UP:
        raise TrainError(f"--steps is {args.steps}, but the first {WARM_UP} updates do not count")
    rulers = Rulers()
    for _ in range(3):
        rulers.measure()
    batches = pipeline_batches(config) if args.data else drawn_batches(config)
    with fresh_compilation():
        # Measuring the unit between updates would give the pipeline time to work ahead.
        between = None if args.data else rulers
        prepared = prepare(config, first_params(config))
        figures = time_updates(*prepared, batches, args.steps, between, keep=bool(args.peer))
    used = figures.pop("batches")
    figures["dtype"] = train_dtype(config)
    figures["data"] = f"the pipeline, from {args.data}" if args.data else "the same drawn clips, no pipeline"
    print("\n" + format_training(config, figures, rulers), flush=True)
    if args.peer:
        try:
            figures["peer"] = peer.time_training(args.peer, config, [normalised(x) for x in used], rulers, WARM_UP)
            print(peer.describe(figures["peer"], "step", figures["seconds"], rulers))
        except BenchError as error:
            figures["error"] = str(error)
    return {"config": config.name, **figures, **rulers.record()}


def data_fields(data: str | None) -> list[str]:
    """Return the config fields that `--data` sets."""
    if data == GENERATED:
        return [f"data.datasets=(('{GENERATED}', 1),)"]
    return [f"data.root={data}"] if data else []


def drawn_batches(config: ConfigDict) -> Iterator[Batch]:
    """Return an endless iterator over the same generated clips, with new indices."""
    data, size = config.data, config.train.batch_size // jax.process_count()
    videos = [make_video((0, i), data.frames, data.crop, data.crop, objects=2) for i in range(size)]
    images, masks = (np.stack(parts) for parts in zip(*videos, strict=True))
    fixed = {"images": images, "masks": masks, "objects": np.full(size, 2, np.int32)}
    return (fixed | {"index": np.arange(step * size, (step + 1) * size)} for step in itertools.count())


def pipeline_batches(config: ConfigDict) -> Iterator[Batch]:
    """Return the batches that `train.py` would train on.

    Raises:
        DataError: if data is missing.
    """
    return make_batches(config.data, seed=config.seed, batch_size=config.train.batch_size)


def prepare(config: ConfigDict, params: Params, unroll: bool = True) -> tuple[Callable, TrainState]:
    """Return the update function of `train.py` and its initial state; `unroll` as of `clip_loss`."""
    update = make_train_step(make_model(config, train_dtype(config)), config, params, unroll=unroll)
    return update, place(make_state(params, config))


def time_updates(
    update: Callable, state: TrainState, batches: Iterator[Batch], steps: int, rulers: Rulers | None, keep: bool = False
) -> dict:
    """Time updates, in seconds, and measure the rulers between them; `keep`: return the batches too."""
    used, waits, updates = [], [], []
    with Compilations() as compilations:
        for step in range(steps):
            if rulers is not None:
                rulers.measure()
            asked = time.perf_counter()
            batch = next(batches)
            got = time.perf_counter()
            state, figures, _ = update(state, split(batch), False)
            jax.block_until_ready((state, figures))
            if step == 0:
                compiling = compilations.seconds
            if step >= WARM_UP:
                waits.append(got - asked)
                updates.append(time.perf_counter() - got)
            if keep:
                used.append(batch)
    memory = jax.local_devices()[0].memory_stats() or {}
    peak = memory.get("peak_bytes_in_use")
    return {
        "compile": compiling,
        "step_seconds": updates,
        "wait_seconds": waits,
        "seconds": statistics.median(w + u for w, u in zip(waits, updates, strict=True)),
        "waiting": sum(waits) / (sum(waits) + sum(updates)),
        "peak_mib": peak_rss() if peak is None else peak / 2**20,
        "peak_of": "the process" if peak is None else "device 0",
        "loss": float(figures["loss"]),
        "batches": used,
    }


def normalised(batch: Batch) -> Batch:
    """Return a batch with normalised float32 images."""
    return batch | {"images": normalise(batch["images"]).astype(np.float32)}


def format_training(config: ConfigDict, figures: dict, rulers: Rulers) -> str:
    """Format the results as text."""
    data, clips, seconds = config.data, config.train.batch_size, figures["seconds"]
    row = [
        figures["compile"],
        1e3 * seconds,
        1 / seconds,
        clips / seconds,
        rulers.units(seconds),
        f"{figures['waiting']:.1%}",
        f"{figures['peak_mib']:,.0f} ({figures['peak_of']})",
    ]
    lines = [
        f"{config.name}, {figures['dtype']}: {clips} clips of {data.frames} frames at {data.crop}x{data.crop} on "
        f"{jax.device_count()} devices; data: {figures['data']}",
        f"median of {len(figures['step_seconds'])} updates",
        rulers.describe(),
        "",
        format_table(("compile s", "ms a step", "steps/s", "clips/s", "units", "waiting", "peak MiB"), [row]),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    start.run(main)
