"""Weight files: half precision, metadata, checksum; and the file that ships, if there is one."""

import itertools
import json
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from safetensors import safe_open

from aot_jax import Tracker, load_model, network
from aot_jax.checkpoint import CheckpointError, half, read_description, save_params, write_file
from aot_jax.config import load_config
from aot_jax.io.masks import read_mask
from aot_jax.io.sources import open_source
from aot_jax.network import NetworkChoice, find_network, load_params
from aot_jax.weights import SHIPPED
from aot_jax.weights.__main__ import main
from bench import inference
from bench import network as bench_network

EXAMPLE = Path(__file__).resolve().parents[1] / "examples"
missing = pytest.mark.skipif(not SHIPPED.is_file(), reason="no weights ship with this version yet")


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=2", "memory.gap=3", "model.bank_gain=4.0")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_params(folder / "run" / "weights", model.params, model.config, source={"step": 70})
    (folder / "scores.json").write_text('{"davis16": 0.5}')
    file = folder / "new" / "small.safetensors"
    about = ["--data", "DAVIS", "--licence", "CC", "--scores", str(folder / "scores.json")]
    assert main(["export", str(folder / "run"), "--output", str(file), *about]) == 0
    return file


@pytest.fixture
def copied(exported, tmp_path):
    """Return a copy of the file, with its checksum."""
    for file in exported.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path / exported.name


def test_kernels_are_halved_and_vectors_kept(model, exported):
    loaded = load_params(exported, model.config)
    assert jax.tree.structure(loaded) == jax.tree.structure(model.params)
    for read, true in zip(jax.tree.leaves(loaded), jax.tree.leaves(model.params), strict=True):
        assert read.dtype == np.float32
        np.testing.assert_allclose(read, true, rtol=0 if read.ndim < 2 else 2**-11, atol=1e-7)
    with safe_open(exported, "numpy") as file:
        assert file.get_tensor("encoder/conv0/kernel").dtype == np.float16
        assert file.get_tensor("decoder/conv_out/bias").dtype == np.float32


def test_half_of_each_of_two_networks(model, exported, tmp_path):
    twice = jax.tree.map(lambda x: 2 * np.asarray(x), model.params)
    save_params(tmp_path / "weights", twice, model.config, source={"step": 70})
    file = tmp_path / "half.safetensors"
    about = ["--data", "DAVIS", "--licence", "CC", "--average", str(exported)]
    assert main(["export", str(tmp_path / "weights"), "--output", str(file), *about]) == 0
    for read, true in zip(jax.tree.leaves(load_params(file, model.config)), jax.tree.leaves(model.params), strict=True):
        np.testing.assert_allclose(read, 1.5 * np.asarray(true), rtol=2**-10, atol=1e-7)


def test_the_file_says_what_it_holds(exported, capsys):
    assert main(["show", str(exported)]) == 0
    about = json.loads(capsys.readouterr().out)
    assert sorted(about["config"]) == ["inference", "memory", "model", "name", "seed"]  # no paths of the machine
    source = about["source"]
    assert (source["data"], source["licence"], source["updates"]) == ("DAVIS", "CC", "70")
    assert json.loads(source["scores"]) == {"davis16": 0.5}
    assert len(source["date"]) == len("2026-01-31")


def test_the_checksum_is_as_other_tools_write_it(exported):
    check = ["sha256sum", "--check", exported.with_suffix(".sha256").name]
    assert (
        subprocess.run(check, cwd=exported.parent, capture_output=True, text=True).stdout == "small.safetensors: OK\n"
    )


def test_a_file_knows_its_config(exported):
    config = load_model(checkpoint=exported).config
    assert (config.name, config.model.encoder, config.model.depth, config.memory.gap) == ("aost", "tiny", 2, 3)
    found = find_network(NetworkChoice(checkpoint=str(exported), overrides=("memory.gap=9",)))
    assert (found.checkpoint, found.config.memory.gap) == (exported, 9)
    with pytest.raises(CheckpointError, match=r"small.safetensors holds weights of aost, another network than aott:"):
        load_params(exported, load_config("aott"))


def test_without_flags_what_ships_is_used(exported, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(network, "SHIPPED", exported)
    nothing = "no checkpoint at checkpoints/aost_r50 or runs/aost_r50"
    found = find_network(NetworkChoice(overrides=("memory.gap=9",)))
    assert str(found) == f"network: aost, {exported} (it ships; {nothing})"
    assert found.config.memory.gap == 9
    assert load_model().checksum == found.load().checksum
    save_params("runs/aost_r50/weights", model.params, model.config)
    assert find_network(NetworkChoice()).checkpoint == Path("runs/aost_r50/weights")
    with pytest.raises(CheckpointError, match="no checkpoint at checkpoints/aost or runs/aost"):
        find_network(NetworkChoice("aost"))


def test_benchmarks_run_what_ships(exported, monkeypatch, capsys):
    def config_of(*flags):
        found = bench_network.find_network(inference.make_parser().parse_args(flags), ())
        assert capsys.readouterr().out == f"{found}\n"
        return found.config.name, found.checkpoint

    assert config_of() == ("aott", None)
    monkeypatch.setattr(network, "SHIPPED", exported)
    assert config_of() == ("aost", exported)
    assert config_of("--config", "aots") == ("aots", None)
    assert config_of("--checkpoint", str(exported)) == ("aost", exported)


def test_without_weights_the_error_says_so():
    with pytest.raises(CheckpointError, match=r"no weights ship with this version .*: name a config or a checkpoint"):
        load_model()


def test_a_damaged_file_is_refused(copied):
    content = bytearray(copied.read_bytes())
    content[-1] ^= 1
    copied.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"small.safetensors is damaged: its SHA-256 is not that of small.sha256"):
        load_model(checkpoint=copied)


@pytest.mark.parametrize("length", [0, 4, 100, 4000, -1])
def test_a_file_that_was_cut_off_is_refused(copied, length):
    copied.with_suffix(".sha256").unlink()
    copied.write_bytes(copied.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"small.safetensors is not readable: .*; copy the checkpoint again"):
        load_model(checkpoint=copied)


def test_arrays_of_another_shape_are_named(model, tmp_path):
    other = tiny.load("aost", "model.depth=2", "model.identities=4")
    write_file(tmp_path / "other.safetensors", other.params, model.config, {})
    with pytest.raises(CheckpointError, match="in another shape: decoder/conv_out/bias"):
        load_params(tmp_path / "other.safetensors", model.config)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["nothing", "--output", "x.safetensors"], "no checkpoint at nothing"),
        (["run", "--output", "x.npz"], "x.npz does not end in .safetensors"),
        (["run", "--output", "x.safetensors", "--scores", "run/model.txt"], "run/model.txt is no JSON"),
        (["run", "--output", "x.safetensors"], "does not say after how many updates it was written; add --updates"),
    ],
)
def test_export_errors(model, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    save_params("run", {"x": np.zeros(2)}, model.config, source={"step": 1} if "--scores" in flags else None)
    Path("run/model.txt").write_text("{")
    assert main(["export", *flags, "--data", "", "--licence", ""]) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.safetensors").exists()


@pytest.mark.parametrize(
    ("x", "halved"),
    [
        (np.linspace(-3, 3, 40), True),
        (np.geomspace(1e-9, 1, 40), True),  # the error is small relative to the norm
        (np.geomspace(1e-9, 1e-6, 40), False),
        (np.geomspace(1, 7e4, 40), False),  # above the largest float16
    ],
)
def test_what_is_halved(x, halved):
    x = x.astype(np.float32)
    assert half(x).dtype == np.float32
    assert half(x[None]).dtype == (np.float16 if halved else np.float32)


# The weights file that ships.


@pytest.fixture
def shipped(monkeypatch):
    monkeypatch.setattr(network, "SHIPPED", SHIPPED)


@missing
def test_what_ships_is_whole_and_small(shipped):
    assert SHIPPED.stat().st_size <= 20e6
    assert SHIPPED.with_suffix(".sha256").is_file()
    model, recipe = load_model(), load_config("shipped")
    assert (model.config.model, model.config.memory) == (recipe.model, recipe.memory)
    source = read_description(SHIPPED)["source"]
    assert int(source["updates"]) > 0
    assert json.loads(source["scores"])
    assert source["data"]
    assert source["licence"]


@pytest.mark.slow
@missing
@pytest.mark.skipif(not (EXAMPLE / "clip.mp4").is_file(), reason="there is no example clip yet")
def test_what_ships_tracks_the_example(shipped):
    clip = open_source([EXAMPLE / "clip.mp4"]).frames()
    frames = [frame.pixels[::2, ::2] for frame in itertools.islice(clip, 0, 12, 3)]
    model, mask = load_model(), read_mask(EXAMPLE / "clip.png")[::2, ::2]
    ids = [int(i) for i in np.unique(mask) if i]
    swapped = mask.copy()
    for i, other in zip(ids, [*ids[1:], ids[0]], strict=True):
        swapped[mask == i] = other

    def track(first):
        tracker = Tracker(model)
        return [tracker.step(frame, first if t == 0 else None) for t, frame in enumerate(frames)][-1]

    last, last_swapped = track(mask), track(swapped)
    for i, other in zip(ids, [*ids[1:], ids[0]], strict=True):
        assert 0.5 < (last == i).sum() / (mask == i).sum() < 2
        both = (last == i) & (last_swapped == other)
        assert both.sum() > 0.7 * ((last == i) | (last_swapped == other)).sum()
