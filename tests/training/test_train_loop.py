"""The training loop on small batches: figures, best weights, refusals, stops."""

import itertools
import json
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from aot_jax.config import load_config
from aot_jax.network import load_params
from aot_jax.runs import RunError, lock
from aot_jax.start.hosts import StopSignal
from aot_jax.training import loop
from aot_jax.training.loop import TrainError, train

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tiny_encoder")]

FIELDS = [
    "model.encoder=tiny",
    "model.channels=32",
    "model.heads=2",
    "model.window=3",
    "model.depth=1",
    "train.steps=4",
    "train.batch_size=4",
    "train.log_every=1",
    "train.picture_every=0",
    "train.checkpoint_every=2",
    "train.evaluate_every=1",
]


def load(tmp_path, *overrides):
    return load_config("aost", [*FIELDS, f"train.output={tmp_path}", *overrides])


def batches(start, host, hosts, poison=False):
    assert (host, hosts) == (0, 1)
    for step in range(start, 100):
        masks = np.zeros((4, 2, 33, 33), np.uint8)
        masks[:, :, 5:20, 6:22] = 1
        images = (100 + 80 * masks[..., None] + np.arange(3)).astype(np.float32)  # float32 may be NaN
        if poison and step >= 1:
            images[0, 0, 0, 0] = np.nan
        index = np.arange(4) + 4 * step
        yield {"images": images, "masks": masks, "objects": np.ones(4, np.int32), "index": index}


@pytest.fixture(autouse=True)
def small_update(monkeypatch):
    """Replace the update, which compiles slowly and is tested elsewhere: it adds 1 and skips what is not finite."""
    add = jax.jit(lambda params, number: jax.tree.map(lambda x: x + number, params))

    def update(state, batch, predicted):
        finite = bool(np.isfinite(batch["images"]).all())
        params = add(state.params, np.float32(finite))
        skipped = state.skipped + (not finite)
        in_a_row = 0 * skipped if finite else state.skipped_in_a_row + 1
        counts = {"skipped": skipped, "skipped_in_a_row": in_a_row}
        state = state.replace(step=state.step + 1, params=params, ema=params, **counts)
        figures = {"loss": jnp.float32(0.5), "J": jnp.float32(0.1), **counts}
        return state, figures, np.zeros(batch["masks"].shape, np.uint8)

    monkeypatch.setattr(loop, "init_params", tiny.draw)
    monkeypatch.setattr(loop, "make_train_step", lambda model, config, params: update)


def lines(tmp_path):
    text = (tmp_path / "aost" / "figures.jsonl").read_text().splitlines()
    return [json.loads(line) for line in text]


def test_figures_and_the_best_weights(tmp_path):
    config = load(tmp_path)
    scores = iter([0.1, 0.6, 0.3, 0.2])
    seen = []

    def evaluate(model, folder):
        seen.append(jax.device_get(model.params))
        return {"J&F": next(scores)}

    model = train(config, batches, evaluate)
    run = tmp_path / "aost"
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert len(losses) == 4
    assert [line["evaluation/J&F"] for line in lines(tmp_path) if "evaluation/J&F" in line] == [0.1, 0.6, 0.3, 0.2]
    for name, want in {"weights": model.params, "best": seen[1]}.items():
        found = load_params(run / name, config)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_resumed_run_does_not_need_its_first_weights(tmp_path):
    first = train(load(tmp_path, "train.evaluate_every=0"), batches)
    again = train(load(tmp_path, "train.evaluate_every=0", "init_from=gone"), batches)
    for a, b in zip(jax.tree.leaves(again.params), jax.tree.leaves(first.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_steps_per_second_count_from_where_a_run_was_resumed(tmp_path, monkeypatch):
    def interrupted(*args):
        yield from itertools.islice(batches(*args), 3)
        raise OSError("no more batches")

    config = load(tmp_path, "train.evaluate_every=0", "train.log_every=4")
    with pytest.raises(OSError, match="no more batches"):
        train(config, interrupted)
    # A clock of one second a look: two looks at each of steps 3 and 4, one for the figures.
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(perf_counter=itertools.count(1).__next__))
    train(config, batches)
    assert [(line["step"], line["steps_per_second"]) for line in lines(tmp_path)] == [(4, 2 / 4)]


def test_a_run_without_sense_stops(tmp_path):
    config = load(tmp_path, "train.max_bad_steps=2", "train.evaluate_every=0")
    with pytest.raises(TrainError, match=r"step 3: 2 updates in a row were not finite.*Lower train.learning_rate"):
        train(config, lambda *args: batches(*args, poison=True))
    assert [line["skipped"] for line in lines(tmp_path)] == [0, 1, 2]


def test_a_batch_that_devices_cannot_share(tmp_path):
    with pytest.raises(TrainError, match=r"batch_size is 6, which 4 devices with train.accumulate=1 .*of 4"):
        train(load(tmp_path, "train.batch_size=6"), batches)
    with pytest.raises(TrainError, match=r"with train.accumulate=2 cannot share: make it a multiple of 8"):
        train(load(tmp_path, "train.accumulate=2"), batches)


def test_two_runs_at_once_do_not_share_a_folder(tmp_path):
    config = load(tmp_path)
    (tmp_path / "aost").mkdir()
    with lock(tmp_path / "aost"), pytest.raises(RunError, match="aost is in use by another run"):
        train(config, batches)
    assert list((tmp_path / "aost").iterdir()) == []


def test_ctrl_c_asks_once_and_interrupts_the_second_time(capsys):
    before = signal.getsignal(signal.SIGINT)
    with StopSignal("saving") as stop:
        assert not stop.agreed(True)
        signal.raise_signal(signal.SIGINT)
        assert stop.agreed(False)
        assert stop.asked == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "saving" in capsys.readouterr().err
