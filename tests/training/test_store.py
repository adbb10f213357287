"""A run's checkpoints: the newest and each Nth are kept, another config is refused, a full disk keeps what is saved."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from aot_jax.checkpoint import CheckpointError, find_params, read_description, read_params
from aot_jax.config import load_config
from aot_jax.training.state import TrainState
from aot_jax.training.store import Store


def make_config(*overrides):
    return load_config("aost", ["train.keep_checkpoints=2", "train.keep_every=4", *overrides])


def state_at(step):
    weights = {"w": jnp.arange(6.0).reshape(2, 3) + step}
    return TrainState(jnp.int32(step), weights, {"mu": weights}, weights, jnp.int32(1), jnp.int32(0))


def saved(run):
    return sorted(int(path.name) for path in (run / "checkpoints").iterdir())


def test_the_newest_and_each_nth_are_kept(tmp_path):
    config = make_config()
    with Store(tmp_path, config) as store:
        assert store.latest is None
        for step in (3, 4, 5, 6, 7):
            store.save(state_at(step))
    assert saved(tmp_path) == [4, 6, 7]
    with Store(tmp_path, config) as store:
        assert store.latest == 7
        found = store.restore(state_at(0))
    for got, want in zip(jax.tree.leaves(found), jax.tree.leaves(state_at(7)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_the_averaged_weights_of_an_unfinished_run_are_read(tmp_path):
    average = {"w": jnp.arange(6.0).reshape(2, 3) / 7}
    with Store(tmp_path, make_config()) as store:
        for step in (9, 10):
            store.save(state_at(step).replace(ema=average))
    unfinished = tmp_path / "checkpoints" / "11.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "10", unfinished)
    newest = find_params(tmp_path)
    assert newest == tmp_path / "checkpoints" / "10"
    assert read_description(newest)["source"] == {"step": 10}
    assert read_description(newest)["config"]["name"] == "aost"
    np.testing.assert_array_equal(read_params(newest, state_at(0).params)["w"], average["w"])
    with pytest.raises(CheckpointError, match="lacks, or has in another shape: v"):
        read_params(newest, {"v": jnp.zeros(2)})


def test_another_config_is_refused_and_shown(tmp_path):
    config = make_config()
    with Store(tmp_path, config) as store:
        store.save(state_at(1))
    with Store(tmp_path, make_config("train.learning_rate=0.5", "train.log_every=7")) as store:
        with pytest.raises(CheckpointError) as error:
            store.restore(state_at(0))
        assert "\n  train.learning_rate: 0.0002 there, 0.5 now\n" in str(error.value)
        assert "log_every" not in str(error.value)  # does not change the training
        assert store.restore(state_at(0), allow_change=True).step == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("RESOURCE_EXHAUSTED: disk")])
def test_a_full_disk_is_one_error_and_costs_nothing_saved(tmp_path, monkeypatch, error):
    config = make_config()
    with Store(tmp_path, config) as store:
        store.save(state_at(1))
        store.wait()

        def fail(*_, **__):
            raise error

        monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
        with pytest.raises(CheckpointError) as raised:
            store.save(state_at(2))
    message = str(raised.value)
    assert message.startswith(f"cannot save to {tmp_path / 'checkpoints'}: {error}. ")
    assert "free some space and give the same command" in message
    with Store(tmp_path, config) as store:
        assert store.restore(state_at(0)).step == 1
