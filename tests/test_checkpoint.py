"""Checkpoints: round trip, atomic writes, errors for other networks and for damaged files."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny

from aot_jax import checkpoint
from aot_jax.checkpoint import CheckpointError, save_params
from aot_jax.network import load_model, load_params


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=1")


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "deep" / "aost"
    save_params(path, model.params, model.config, source={"file": "x.pth"})
    return path


def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_round_trip(model, saved):
    params = load_params(saved, model.config)
    assert jax.tree.structure(params) == jax.tree.structure(model.params)
    jax.tree.map(np.testing.assert_array_equal, params, model.params)
    loaded = load_model(model.config, saved)
    assert loaded.module == model.module
    assert loaded.config == model.config


def test_folder_holds_parameters_and_a_description(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["model.json", "params"]
    assert [path.name for path in saved.parent.iterdir()] == ["aost"]
    about = json.loads((saved / "model.json").read_text())
    assert about["source"] == {"file": "x.pth"}
    assert about["config"]["model"]["depth"] == 1


def test_a_folder_that_holds_something_is_refused(model, saved, tmp_path):
    with pytest.raises(CheckpointError, match=r"aost exists already: choose another folder, or delete it"):
        save_params(saved, model.params, model.config)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CheckpointError, match="exists already"):
        save_params(file, model.params, model.config)
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        save_params(file / "below", model.params, model.config)
    empty = tmp_path / "empty"
    empty.mkdir()
    save_params(empty, {"x": np.zeros(2)}, model.config)
    assert (empty / "model.json").is_file()


def test_another_network_is_refused_by_field(saved):
    config = tiny.load("aost", "model.depth=2", "model.identities=4").config
    with pytest.raises(CheckpointError) as caught:
        load_params(saved, config)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{saved} holds weights of aost, another network than aost:"
    assert sorted(lines[1:-1]) == [
        "  model.depth: 1 there, 2 now",
        "  model.identities: 10 there, 4 now",
    ]


def test_fields_that_do_not_touch_parameters_are_free(model, saved):
    config = tiny.load(
        "aost", "model.depth=1", "model.local_attention=patches", "model.drop_path=0", "memory.gap=9"
    ).config
    jax.tree.map(np.testing.assert_array_equal, load_params(saved, config), model.params)


def test_missing_and_broken_files(model, saved, tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*absent"):
        load_params(tmp_path / "absent", model.config)
    with pytest.raises(CheckpointError, match=r"no checkpoint at"):
        load_params(tmp_path, model.config)
    path = copy(saved, tmp_path)
    (path / "model.json").write_text('{"config"')
    with pytest.raises(CheckpointError, match=r"copy/model.json is not readable"):
        load_params(path, model.config)
    (path / "model.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"copy/model.json is not readable"):
        load_params(path, model.config)


def test_damaged_parameters(model, saved, tmp_path):
    path = copy(saved, tmp_path)
    for file in (path / "params").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"the checkpoint .*copy cannot be read"):
        load_params(path, model.config)


def test_parameters_of_another_shape(model, tmp_path):
    """Change model.json, as an edit by hand would."""
    other = tiny.load("aost", "model.depth=1", "model.identities=4")
    save_params(tmp_path / "other", other.params, model.config)
    wrong = "decoder/conv_out/bias, decoder/conv_out/kernel, identity_bank/kernel"
    with pytest.raises(CheckpointError, match=rf"other lacks, or has in another shape: {wrong}; it was written"):
        load_params(tmp_path / "other", model.config)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_stopped_in_the_middle_nothing_is_left(model, tmp_path, monkeypatch, error):
    true_dumps = json.dumps

    def stop(*args, **kwargs):
        monkeypatch.setattr(checkpoint.json, "dumps", true_dumps)
        raise error

    monkeypatch.setattr(checkpoint.json, "dumps", stop)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else CheckpointError):
        save_params(tmp_path / "new", {"x": np.zeros(2)}, model.config)
    assert list(tmp_path.iterdir()) == []
    save_params(tmp_path / "new", {"x": np.zeros(2)}, model.config)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
