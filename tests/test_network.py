"""Which network a command runs: a checkpoint knows its config, and a config where its checkpoint is."""

import pytest
import tiny

import eval as eval_script
import track as track_script
from aot_jax.checkpoint import CheckpointError, save_params
from aot_jax.config import load_config, make_model, parse_args
from aot_jax.network import config_of, find_network

SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=2", "model.encoder=tiny", "memory.gap=2")
COMMANDS = {"eval.py": (eval_script, ["--split", "generated"]), "track.py": (track_script, ["clip.mp4"])}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = load_config("configs/aost.py", SMALL)
    path = tmp_path_factory.mktemp("checkpoints") / "small"
    save_params(path, tiny.draw(make_model(config)), config)
    return path


@pytest.fixture(params=COMMANDS)
def find(request):
    """Return what finds the network that further flags of a command name."""
    script, flags = COMMANDS[request.param]
    return lambda *more: find_network(*parse_args(script.make_parser(), [*flags, *map(str, more)]))


def test_a_checkpoint_knows_its_config(checkpoint):
    config = config_of(checkpoint)
    assert (config.name, config.model.encoder, config.model.depth, config.memory.gap) == ("aost", "tiny", 2, 2)
    assert config_of(checkpoint, ["memory.gap=7"]).memory.gap == 7


def test_a_checkpoint_alone_is_enough(checkpoint, find):
    config, folder = find("--checkpoint", checkpoint, "--config.memory.gap=7")
    assert folder == checkpoint
    assert (config.model.encoder, config.memory.gap) == ("tiny", 7)


def test_a_config_named_beside_it_wins(checkpoint, find):
    config, _ = find("--checkpoint", checkpoint, "--config", "configs/aott.py")
    assert (config.name, config.model.encoder) == ("aott", "mobilenet_v2")


def test_a_config_alone_says_where_its_weights_are(checkpoint, find, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint at checkpoints/aost_r50"):
        find()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "aott").symlink_to(checkpoint)
    config, folder = find("--config", "aott")
    assert (config.name, str(folder)) == ("aott", "checkpoints/aott")
    assert find("--random_weights")[1] is None
