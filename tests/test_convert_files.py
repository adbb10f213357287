"""Conversion of files: NumPy, PyTorch, ImageNet weights, and the command line."""

import builtins
import hashlib
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.convert import ConvertError, from_torch, load_weights, read_arrays
from aot_jax.convert.__main__ import main
from aot_jax.network import load_model, make_model

DATA = Path(os.environ.get("VOS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="module")
def aott():
    return tiny.released("aott", "model.channels=32", "model.heads=2", "model.window=3")


def same(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


def test_files_of_numpy(aott, tmp_path):
    config, params, arrays = aott
    np.savez(tmp_path / "weights.npz", **arrays)
    assert same(load_weights(tmp_path / "weights.npz", config), params)
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    with pytest.raises(ConvertError, match=r"broken.npz is not a readable .npz file: it is not a zip"):
        read_arrays(tmp_path / "broken.npz")
    with pytest.raises(ConvertError, match=r"no file at .*absent.pth"):
        read_arrays(tmp_path / "absent.pth")
    del arrays["encoder_projector.bias"]
    np.savez(tmp_path / "less.npz", **arrays)
    with pytest.raises(ConvertError, match=r"less.npz: these weights do not fit aott"):
        load_weights(tmp_path / "less.npz", config)
    arrays["encoder_projector.bias"] = np.asarray(params["encoder_projector"]["bias"])


def test_pickles_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "object.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ConvertError, match=r"object.npz is not a readable"):
        read_arrays(tmp_path / "object.npz")


def test_without_torch_the_remedy_is_named(tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"")
    true_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == "torch":
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConvertError, match=r"weights.pth needs PyTorch.*pip install -r requirements-torch.txt"):
        read_arrays(file)


@pytest.mark.parametrize("nest", [lambda x: x, lambda x: {"state_dict": x, "epoch": 3}, lambda x: {"model": x}])
def test_files_of_torch(tmp_path, nest):
    torch = pytest.importorskip("torch")
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(3)}
    torch.save(nest({name: torch.tensor(value) for name, value in arrays.items()}), tmp_path / "weights.pth")
    got = read_arrays(tmp_path / "weights.pth")
    assert got.keys() == arrays.keys()
    np.testing.assert_array_equal(got["a.weight"], arrays["a.weight"])


def test_files_of_torch_are_never_unpickled(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": Path("x")}, tmp_path / "weights.pth")
    with pytest.raises(ConvertError, match=r"weights.pth holds more than tensors \(pathlib.\w+\)"):
        read_arrays(tmp_path / "weights.pth")


def test_what_is_no_file_of_torch_is_an_error_in_our_words(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "weights.pth").write_bytes(b"-not weights-")
    with pytest.raises(ConvertError, match=r"weights.pth is not a file of PyTorch weights") as error:
        read_arrays(tmp_path / "weights.pth")
    assert "weights_only" not in str(error.value)


FLAGS = ("--config.model.channels=32", "--config.model.heads=2", "--config.model.window=3")


def test_command_line(aott, tmp_path, capsys):
    config, params, arrays = aott
    file, output = tmp_path / "weights.npz", tmp_path / "out"
    np.savez(file, **arrays)
    command = [str(file), "--config", "aott", *FLAGS, "--output", str(output)]
    assert main(command) == 0
    assert capsys.readouterr().out == f"wrote {output}\n"
    about = json.loads((output / "model.json").read_text())
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert about["source"] == {"file": str(file), "sha256": digest, "part": "all"}
    assert about["config"]["name"] == "aott"
    assert about["config"]["model"]["channels"] == 32
    assert same(load_model(config, output).params, params)
    assert main(command) == 2
    assert f"error: {output} exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["absent.npz"], "error: no file at absent.npz"),
        (["absent.npz", "--config", "aotz"], "error: no config at aotz: did you mean"),
        (["absent.npz", "--config.model.depht=1"], "error: the config has no field 'model.depht'"),
    ],
)
def test_command_line_errors(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    assert capsys.readouterr().err.startswith(message)


def test_imagenet_weights(aott, monkeypatch):
    file = DATA / "weights" / "mobilenet_v2_imagenet.npz"
    if not file.is_file():
        pytest.skip(f"no {file}")
    config, params, _ = aott
    monkeypatch.setattr("aot_jax.convert.init_params", lambda model, seed=0: params)
    encoder = load_weights(file, config, encoder_only=True)["encoder"]
    arrays = np.load(file)
    np.testing.assert_array_equal(encoder["features_0"]["kernel"][1, 2, 0], arrays["features.0.0.weight"][:, 0, 1, 2])
    np.testing.assert_array_equal(encoder["features_18_bn"]["var"], arrays["features.18.1.running_var"])


def drop_encoder_prefix(arrays):
    return {name.removeprefix("encoder."): value for name, value in arrays.items() if name.startswith("encoder.")}


EXTRA = {
    "aott": ("classifier.1.weight", "classifier.1.bias", "features.0.1.num_batches_tracked"),
    "aotl_r50": ("fc.weight", "fc.bias", "layer4.0.conv1.weight", "bn1.num_batches_tracked"),
    "aotl_swinb": (
        "norm.weight", "head.weight", "layers.2.downsample.norm.weight", "layers.3.blocks.0.norm1.weight",
        "layers.0.blocks.0.attn.relative_position_index", "layers.0.blocks.1.attn_mask",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRA)
def test_an_encoder_alone_must_be_asked_for(name, monkeypatch):
    overrides = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=1")
    config, params, arrays = tiny.released(name, *overrides)
    arrays = drop_encoder_prefix(arrays) | {extra: np.zeros(2) for extra in EXTRA[name]}
    if name == "aotl_swinb":  # a classifier has no norms on its intermediate outputs
        arrays = {key: value for key, value in arrays.items() if key[:5] not in ("norm0", "norm1", "norm2")}
    with pytest.raises(ConvertError, match="weights of an encoder alone are taken with --part encoder"):
        from_torch(arrays, config)
    other = tiny.draw(make_model(config), 1)
    monkeypatch.setattr("aot_jax.convert.init_params", lambda model, seed=0: other)
    got = flatten_dict(from_torch(arrays, config, encoder_only=True), sep="/")
    drawn, given = flatten_dict(other, sep="/"), flatten_dict(params, sep="/")
    for path, value in got.items():
        loaded = path.startswith("encoder/") and not path.startswith("encoder/norm")
        np.testing.assert_array_equal(value, (given if loaded else drawn)[path], err_msg=path)
    del arrays[next(key for key in arrays if key.endswith("weight"))]
    with pytest.raises(ConvertError, match="1 missing"):
        from_torch(arrays, config, encoder_only=True)
