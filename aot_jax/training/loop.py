"""The training loop: start or resume, step, log, save, evaluate."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from aot_jax.checkpoint import read_description, save_params
from aot_jax.config import check_crop
from aot_jax.convert import load_weights
from aot_jax.errors import ReportedError
from aot_jax.network import Model, init_params, load_params, make_model, param_shapes
from aot_jax.runs import lock
from aot_jax.start.hosts import StopSignal
from aot_jax.training.report import Report
from aot_jax.training.state import TrainState, make_state
from aot_jax.training.step import make_train_step, place, split
from aot_jax.training.store import Store
from aot_jax.typing import Params

Batches = Callable[[int, int, int], Iterator[dict[str, np.ndarray]]]  # (start step, host, count of hosts) to batches
Evaluate = Callable[[Model, Path], dict[str, float]]  # (model, folder for masks) to scores, with "J&F"


class TrainError(ReportedError):
    """A run that cannot start or continue."""


def train(
    config: ConfigDict,
    batches: Batches,
    evaluate: Evaluate | None = None,
    allow_config_change: bool = False,
) -> Model:
    """Run the training of a config, resuming from its newest checkpoint if there is one.

    Batches are dicts of arrays for this host: images (b, t, h, w, 3) uint8, masks (b, t, h, w) integers, objects (b,),
    index (b,) the samples' global numbers.

    Args:
        config: what to train and how.
        batches: makes the iterator of batches from a given step on.
        evaluate: scores the averaged weights; None: never.
        allow_config_change: resume although the config has changed.

    Returns:
        The network with its averaged weights.

    Raises:
        ConfigError: if `data.crop` is not an input size of the network.
        TrainError: if the batch does not fit the devices, or too many updates in a row were not finite.
        RunError: if another process is training the same run.
        CheckpointError: if weights or checkpoints cannot be read or written, or belong to another config.
    """
    check_crop(config)
    run = Path(config.train.output) / config.name
    model = make_model(config, train_dtype(config))
    check_batch(config)
    run.mkdir(parents=True, exist_ok=True)
    alone = lock(run) if jax.process_index() == 0 else contextlib.nullcontext()
    with alone, Store(run, config) as store, StopSignal("saving, then stopping") as stop:
        if store.latest is None:
            state = jax.jit(lambda params: make_state(params, config))(first_params(config))
        else:  # without its first weights, which may be gone by now
            like = jax.eval_shape(lambda params: make_state(params, config), param_shapes(model))
            state = store.restore(like, allow_config_change)
        update = make_train_step(model, config, state.params)
        state = place(state)
        iterator = batches(int(state.step), jax.process_index(), jax.process_count())
        start, steps = int(state.step), config.train.steps
        with Report(run, steps, start, quiet=jax.process_index() != 0) as report:
            if start:
                report.say(f"resumed {run} at step {start}")
            waited = began = 0.0
            logged = start  # step of the last figures
            for step in range(start, steps):
                asked = time.perf_counter()
                batch = next(iterator)
                waited += time.perf_counter() - asked
                began = began or asked
                predicted = step >= config.train.predicted_masks * steps
                state, figures, labels = update(state, split(batch), predicted)
                done = step + 1
                if done % config.train.log_every == 0 or done == steps:
                    now = jax.device_get(figures)
                    elapsed = time.perf_counter() - began
                    rate = {"steps_per_second": (done - logged) / elapsed, "data_wait": waited / elapsed}
                    report.figures(done, now | rate)
                    waited, began, logged = 0.0, 0.0, done
                    report.advance(float(now["loss"]), float(now["J"]))
                    if now["skipped_in_a_row"] >= config.train.max_bad_steps:
                        raise TrainError(
                            f"step {done}: {int(now['skipped_in_a_row'])} updates in a row were not finite and were "
                            "skipped. Lower train.learning_rate, or use train.dtype=float32; see figures.jsonl"
                        )
                else:
                    report.advance()
                if config.train.picture_every and (done % config.train.picture_every == 0 or done == steps):
                    report.picture(done, batch["images"][0], batch["masks"][0], np.asarray(labels[0, 0]))
                stopping = stop.agreed(done % config.train.log_every == 0)
                if done % config.train.checkpoint_every == 0 or done == steps or stopping:
                    check_agreement(state, done)
                    store.save(state)
                every = config.train.evaluate_every
                if evaluate and every and (done % every == 0 or done == steps):
                    score(Model(make_model(config), state.ema, config), done, run, evaluate, report)
                if stopping:
                    store.wait()
                    report.say(f"stopped at step {done}; the same command continues from here")
                    raise SystemExit(128 + (stop.asked or signal.SIGTERM))
            store.wait()
        if jax.process_index() == 0:
            save_params(run / "weights", state.ema, config, source={"step": steps}, replace=True)
        return Model(make_model(config), state.ema, config)


def check_agreement(state: TrainState, step: int) -> None:
    """Raise TrainError unless all processes hold the same parameters, as they must after each update."""
    if jax.process_count() == 1:
        return
    sums = [np.asarray(x).view(np.uint32).sum(dtype=np.uint64) for x in jax.tree.leaves(state.params)]
    checksum = np.uint32(sum(map(int, sums)) % 2**32)
    found = multihost_utils.process_allgather(checksum).tolist()
    if len(set(found)) > 1:
        raise TrainError(
            f"step {step}: processes hold different parameters (sums {found}): start all with the same code, config "
            "and data; the same command continues from the newest checkpoint"
        )


def score(model: Model, step: int, run: Path, evaluate: Evaluate, report: Report) -> None:
    """Evaluate the averaged weights, on process 0, and save them if they are the best so far."""
    if jax.process_index():
        return
    figures = evaluate(model, run / "evaluation")
    report.figures(step, {f"evaluation/{name}": value for name, value in figures.items()})
    best = run / "best"
    old = read_description(best)["source"]["J&F"] if best.is_dir() else -math.inf
    report.say(f"step {step}: " + "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    if figures["J&F"] > old:
        save_params(best, model.params, model.config, source={"step": step, **figures}, replace=True)


def first_params(config: ConfigDict) -> Params:
    """Return the parameters that a config starts from: another run's, an encoder's, or random ones."""
    if config.init_from:
        return load_params(config.init_from, config)
    if config.encoder_weights:
        return load_weights(config.encoder_weights, config, encoder_only=True, seed=config.seed)
    return init_params(make_model(config), config.seed)


def train_dtype(config: ConfigDict) -> str:
    """Return the dtype of the computation: `auto` is bfloat16 on accelerators and float32 on the CPU."""
    if config.train.dtype != "auto":
        return config.train.dtype
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def check_batch(config: ConfigDict) -> None:
    """Raise TrainError unless the batch divides among devices and accumulated parts."""
    devices, parts = jax.device_count(), config.train.accumulate
    if config.train.batch_size % (devices * parts):
        raise TrainError(
            f"train.batch_size is {config.train.batch_size}, which {devices} devices with train.accumulate={parts} "
            f"cannot share: make it a multiple of {devices * parts}"
        )
