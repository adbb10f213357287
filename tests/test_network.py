"""Which network a command runs: the config in a checkpoint, and the checkpoint of a config."""

import pytest
import tiny

from aot_jax import network
from aot_jax.checkpoint import CheckpointError
from aot_jax.commands import eval as eval_script
from aot_jax.commands import track as track_script
from aot_jax.config import ConfigError, load_config
from aot_jax.flags import network_choice, parse_args
from aot_jax.network import NetworkChoice, config_of, find_network, load_model

SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=2", "model.encoder=tiny", "memory.gap=2")
COMMANDS = {"eval.py": (eval_script, ["--split", "generated"]), "track.py": (track_script, ["clip.mp4"])}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("checkpoints") / "small", SMALL)


@pytest.fixture(params=COMMANDS)
def find(request):
    """Return a function that finds the network for further flags of a command."""
    script, flags = COMMANDS[request.param]
    return lambda *more: find_network(network_choice(*parse_args(script.make_parser(), [*flags, *map(str, more)])))


def test_a_checkpoint_knows_its_config(checkpoint):
    config = config_of(checkpoint)
    assert (config.name, config.model.encoder, config.model.depth, config.memory.gap) == ("aost", "tiny", 2, 2)
    assert config_of(checkpoint, ["memory.gap=7"]).memory.gap == 7


def test_a_checkpoint_alone_is_enough(checkpoint, find):
    network = find("--checkpoint", checkpoint, "--config.memory.gap=7")
    assert network.checkpoint == checkpoint
    assert (network.config.model.encoder, network.config.memory.gap) == ("tiny", 7)
    assert str(network) == f"network: aost, {checkpoint} (--checkpoint)"


def test_a_config_named_beside_it_wins(checkpoint, find):
    config = find("--checkpoint", checkpoint, "--config", "configs/aott.py").config
    assert (config.name, config.model.encoder) == ("aott", "mobilenet_v2")


def test_a_config_alone_says_where_its_weights_are(checkpoint, find, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint at checkpoints/aost_r50 .*no weights ship with this"):
        find()
    with pytest.raises(CheckpointError, match=r"no checkpoint at checkpoints/aott or runs/aott\. Train one"):
        find("--config", "aott")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "aott").symlink_to(checkpoint)
    found = find("--config", "aott")
    assert str(found) == "network: aott, checkpoints/aott (found at checkpoints/aott, the place of its config)"
    assert str(find("--random_weights")) == "network: aost_r50, random weights (--random_weights)"
    found = find("--random_weights", "--checkpoint", checkpoint)
    assert (found.config.model.encoder, found.checkpoint) == ("tiny", None)


def test_a_config_file_is_run_once(checkpoint, tmp_path):
    file, count = tmp_path / "mine.py", tmp_path / "count"
    file.write_text(
        "from pathlib import Path\nfrom aot_jax.configs import aost\nget_config = aost.get_config\n"
        f"file = Path({str(count)!r})\n"
        "file.write_text((file.read_text() if file.exists() else '') + 'x')\n"
    )
    find_network(NetworkChoice(str(file), str(checkpoint)))
    assert count.read_text() == "x"


def test_load_model_draws_from_a_seed(monkeypatch):
    monkeypatch.setattr(network, "init_params", lambda module, seed: ("drawn", module.config.depth, seed))
    assert load_model("aost", seed=3).params == ("drawn", 3, 3)
    assert load_model(load_config("aott")).params == ("drawn", 1, 0)
    with pytest.raises(ConfigError, match="no config at nothing"):
        load_model("nothing")
