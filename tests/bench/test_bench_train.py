"""bench/train.py on a small network: its results, its batches, the peer's inputs, and its errors."""

import itertools
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny  # noqa: F401  registers the tiny encoder

from aot_jax.config import load_config
from bench import measure, rulers, train

FIELDS = {"model.encoder": "tiny", "data.crop": 33, "data.frames": 2, "train.batch_size": 4}
SMALL = [f"--config.{name}={value}" for name, value in FIELDS.items()]
WAIT = 0.05  # seconds that a batch takes


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small unit, and a fake update with the real one's arguments: the real one is tested, and compiles slowly."""
    monkeypatch.setattr(rulers, "SIDE", 64)
    monkeypatch.setattr(train, "first_params", lambda own: {"kernel": jnp.ones(3)})
    monkeypatch.setattr(train, "make_state", lambda params, own: params)
    monkeypatch.setattr(train, "make_train_step", lambda model, own, params, unroll: update)


def update(state, batch, predicted):
    assert predicted is False
    assert {name: x.shape for name, x in batch.items()} == {
        "images": (4, 1, 2, 33, 33, 3),
        "masks": (4, 1, 2, 33, 33),
        "objects": (4, 1),
        "index": (4, 1),
    }
    state = jax.tree.map(jax.jit(lambda x: x + 1), state)
    return state, {"loss": jnp.float32(2.5)}, None


def config(*overrides):
    return load_config("aott", [*(f"{name}={value}" for name, value in FIELDS.items()), *overrides])


def test_updates_are_timed_with_the_wait_for_data(tmp_path, capsys, monkeypatch):
    asked, peers, printed = [], [], []

    def slow(own):
        asked.append(own.data.datasets)
        for batch in train.drawn_batches(own):
            time.sleep(WAIT)
            yield batch

    def time_peer(path, own, batches, rulers, warm_up):
        peers.append(batches)
        printed.append(capsys.readouterr().out)
        raise measure.BenchError("their code fails")

    monkeypatch.setattr(train, "pipeline_batches", slow)
    monkeypatch.setattr(train.peer, "time_training", time_peer)
    path = tmp_path / "out.json"
    flags = [*SMALL, "--steps", "4", "--data", "generated", "--peer", str(tmp_path), "--json", str(path)]
    assert train.main(flags) == 2
    assert asked == [(("generated", 1),)]
    found = json.loads(path.read_text())
    assert len(found["step_seconds"]) == 2
    assert min(found["wait_seconds"]) >= WAIT
    waited, updated = sum(found["wait_seconds"]), sum(found["step_seconds"])
    assert found["waiting"] == pytest.approx(waited / (waited + updated))
    assert found["compile"] > 0
    assert found["loss"] == 2.5
    assert found["peak_mib"] > 1
    assert f"{found['waiting']:.1%}" in printed[0], "before the authors' code runs"
    assert capsys.readouterr().err == "error: their code fails\n"
    (batches,) = peers
    assert [batch["images"].shape for batch in batches] == [(4, 2, 33, 33, 3)] * 4
    assert abs(batches[0]["images"]).max() < 3, "normalised"


def test_drawn_clips_come_again_under_new_numbers():
    first, second = itertools.islice(train.drawn_batches(config()), 2)
    assert first["images"].shape == (4, 2, 33, 33, 3)
    assert first["images"].dtype == np.uint8
    assert np.unique(first["masks"]).tolist() == [0, 1, 2]
    assert second["images"] is first["images"]
    assert second["index"].tolist() == [4, 5, 6, 7]


def test_refusals_are_one_line(capsys):
    for flags, words in (
        (["--steps", "2"], "--steps is 2"),
        (["--config.train.batch_size=3"], "train.batch_size is 3"),
        (["--data", "generated", "--config.data.stage=movie"], "data.stage is 'movie'"),
    ):
        assert train.main([*SMALL, *flags]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert words in error
        assert error.count("\n") == 1
