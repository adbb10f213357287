"""Hostile checkpoints and arrays: no code is run, and sizes are bounded."""

import contextlib
import json
import pickle
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

from aot_jax import Tracker, convert
from aot_jax.checkpoint import CheckpointError, save_params
from aot_jax.config import ConfigError, load_config
from aot_jax.io import npz
from aot_jax.network import config_of, load_params
from aot_jax.tracker.tracker import TrackError

SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=1", "model.encoder=tiny")


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def trap(tmp_path):
    """Return the path of a file that only hostile code would create."""
    path = tmp_path / "trap"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("checkpoints") / "weights", SMALL)


@pytest.fixture
def checkpoint(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "weights")


def describe(checkpoint, **changes):
    """Change the config stored in a checkpoint."""
    path = checkpoint / "model.json"
    content = json.loads(path.read_text())
    content["config"] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("form", ["{}/evil.py", "../weights/evil.py", "weights/evil.py", "evil", "weights/evil"])
def test_the_config_of_a_checkpoint_is_data(checkpoint, trap, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    code = f"open({str(trap)!r}, 'w')\ndef get_config(): raise SystemExit"
    for path in (checkpoint / "evil.py", tmp_path / "configs" / "evil.py", tmp_path / "configs" / "aost.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    describe(checkpoint, name=form.format(checkpoint))
    assert config_of(checkpoint).model.channels == 32  # the fields are used, the name is not
    describe(checkpoint, name="aost")
    assert config_of(checkpoint).name == "aost"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"config": []}',
        '{"config": {"name": ["aost"], "model": {}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": 3, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"depth": "' + "-" * 100_000 + '1"}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"depth": "open(1)"}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"encoder": "os.system"}, "memory": {}, "inference": {}}}',
    ],
)
def test_broken_configs_of_checkpoints_are_refused(checkpoint, content):
    (checkpoint / "model.json").write_text(content)
    with pytest.raises((CheckpointError, ConfigError)):
        load_params(checkpoint, config_of(checkpoint))
    with pytest.raises(CheckpointError):
        load_params(checkpoint, load_config("aost", SMALL))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax drops its other reads
def test_nothing_in_a_checkpoint_is_unpickled(checkpoint, trap):
    config, bomb = load_config("aost", SMALL), pickle.dumps(Bomb(trap))
    for path in sorted((checkpoint / "params").rglob("*")):
        if path.is_file() and "ocdbt.process_0" not in path.parts:  # their contents are also in manifest.ocdbt and d
            whole = path.read_bytes()
            path.write_bytes(bomb)
            with contextlib.suppress(CheckpointError):  # some files are not needed
                load_params(checkpoint, config)
            path.write_bytes(whole)
    load_params(checkpoint, config)


def test_a_checkpoint_of_other_shapes_is_refused_before_it_is_read(checkpoint, tmp_path):
    """The metadata is valid, but the arrays may have any size."""
    params = jax.tree.map(np.asarray, load_params(checkpoint, load_config("aost", SMALL)))
    params["identity_bank"]["kernel"] = np.zeros((17, 17, 11, 4096), np.float32)
    save_params(tmp_path / "large", params, load_config("aost", SMALL))
    with pytest.raises(CheckpointError, match="in another shape: identity_bank/kernel"):
        load_params(tmp_path / "large", load_config("aost", SMALL))


def test_no_npz_is_unpickled(trap, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([Bomb(trap)], dtype=object))
    with pytest.raises(convert.ConvertError, match=r"not a readable \.npz file"):
        convert.read_arrays(path)
    with pytest.raises(TrackError, match="not a saved state"):
        Tracker(tiny.load("aost", "model.depth=1")).load_state(path)


def test_arrays_may_not_claim_more_than_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 10**6)
    np.savez_compressed(tmp_path / "fits.npz", a=np.zeros(10**6 - 1000, np.uint8))
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**6, np.uint8))
    assert (tmp_path / "bomb.npz").stat().st_size < 2000
    assert convert.read_arrays(tmp_path / "fits.npz")["a"].size == 10**6 - 1000
    with pytest.raises(convert.ConvertError, match=r"bomb\.npz is not a readable .*claims 1000128 bytes"):
        convert.read_arrays(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "state.npz", meta=np.array("{}"))
    with pytest.raises(TrackError, match="it is compressed"):
        Tracker(tiny.load("aost", "model.depth=1")).load_state(tmp_path / "state.npz")


def test_no_pth_is_unpickled(trap, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is optional")
    torch.save({"a": Bomb(trap)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Bomb(trap)))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(convert.ConvertError, match=r"not unpickled|not a file of PyTorch weights"):
            convert.read_arrays(tmp_path / name)


RISKY = re.compile(
    r"\b(pickle|cPickle|dill|joblib|marshal|shelve)\b|allow_pickle=True|weights_only=False|\bextractall\(|\bos\.system\("
    r"|shell=True|\byaml\.(unsafe_)?load\(|(?<![\w.])(eval|exec)\(|\burlopen\(|\bImage\.open\(|\bav\.open\("
    r"|\bnp\.load\((?!.*allow_pickle=False)|\btorch\.load\((?!.*weights_only=True)"
)
ALLOWED = {
    ("aot_jax/io/video_writer.py", "av.open("),  # to write
    ("aot_jax/io/video_stream.py", "av.open("),  # within bounds
}


def test_files_are_opened_in_the_guarded_places_only():
    root = Path(__file__).resolve().parents[2]
    files = [*root.glob("*.py"), *root.glob("aot_jax/**/*.py"), *root.glob("data_pipeline/**/*.py")]
    assert len(files) > 80
    found = {
        (path.relative_to(root).as_posix(), match.group())
        for path in files
        for match in RISKY.finditer(path.read_text())
    }
    assert found == ALLOWED
