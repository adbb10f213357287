"""Configs: every file loads, overrides are typed, errors are helpful."""

import argparse
import contextlib
from pathlib import Path

import pytest

from aot_jax.config import ConfigError, check_crop, fields, load_config
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.network import make_model

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "common"))
TABLE = {
    "aott": ("mobilenet_v2", "v1", 1, 0, 0),
    "aots": ("mobilenet_v2", "v1", 2, 0, 0),
    "aotb": ("mobilenet_v2", "v1", 3, 0, 0),
    "aotl": ("mobilenet_v2", "v1", 3, 5, 2),
    "aotl_r50": ("resnet50", "v1", 3, 5, 2),
    "aotl_swinb": ("swin_b", "v1", 3, 5, 2),
    "aotv2l": ("mobilenet_v2", "v2", 3, 5, 2),
    "aotv2l_r50": ("resnet50", "v2", 3, 5, 2),
    "aotv2l_swinb": ("swin_b", "v2", 3, 5, 2),
    "aost": ("mobilenet_v2", "v2", 3, 5, 2),
    "aost_r50": ("resnet50", "v2", 3, 5, 2),
    "aost_swinb": ("swin_b", "v2", 3, 5, 2),
    "aost_shared": ("mobilenet_v2", "v2", 3, 5, 2),
    "deaott": ("mobilenet_v2", "gpm", 1, 0, 0),
    "deaots": ("mobilenet_v2", "gpm", 2, 0, 0),
    "deaotb": ("mobilenet_v2", "gpm", 3, 0, 0),
    "deaotl": ("mobilenet_v2", "gpm", 3, 5, 2),
    "deaotl_r50": ("resnet50", "gpm", 3, 5, 2),
    "deaotl_swinb": ("swin_b", "gpm", 3, 5, 2),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_under_its_own_name(name):
    config = load_config(ROOT / "configs" / f"{name}.py")
    assert config.name == name
    assert config.is_locked
    make_model(config)
    with pytest.raises(AttributeError):
        config.model.wndow = 3


@pytest.mark.parametrize("name", TABLE)
def test_both_stages_of_a_variant_train_the_same_network(name):
    first, second = load_config(f"{name}:pretrain"), load_config(name)
    assert first.name == f"pretrain_{name}"
    assert first.model == second.model
    stated = ("learning_rate", "weight_decay", "auxiliary", "steps", "batch_size")
    assert [first.train[field] for field in stated] == [4e-4, 0.03, 0.1, 100_000, 16]
    assert [second.train[field] for field in stated] == [2e-4, 0.07, 1.0, 100_000, 16]
    assert (first.data.merge_probability, second.data.merge_probability) == (1.0, 0.3)
    assert (first.data.stage, second.data.stage) == ("static", "video")
    assert first.data.crop == second.data.crop == (464 if "swinb" in name else 465)
    heavier = name.endswith(("_r50", "_swinb"))
    assert (first.train.min_learning_rate, second.train.min_learning_rate) == (2e-5, 1e-5 if heavier else 2e-5)


def test_all_stages_of_what_ships_train_the_same_network():
    configs = [load_config(f"shipped{stage}") for stage in (":pretrain", ":moving", ":longer", "")]
    assert [config.name for config in configs] == ["pretrain_shipped", "moving_shipped", "longer_shipped", "shipped"]
    assert [config.data.stage for config in configs] == ["static", "video", "video", "video"]
    for config in configs:
        assert (config.model, config.memory) == (configs[0].model, configs[0].memory)
        check_crop(config)


@pytest.mark.parametrize("name", TABLE)
def test_the_papers_models(name):
    config = load_config(name)
    model = config.model
    assert (model.encoder, model.block, model.depth, config.memory.gap, config.memory.train_gap) == TABLE[name]
    assert model.scalable == name.startswith("aost")
    assert model.share_blocks == (name == "aost_shared")
    assert model.align_corners == ("swinb" not in name)
    assert (model.channels, model.window, model.identities, model.short_term_frames) == (256, 15, 10, 1)
    gated = model.block == "gpm"
    assert (model.heads, model.sine_position) == ((1, False) if gated else (8, True))
    assert (config.data.get("augmentation") == "v2") == gated


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("model.depth=2", 2),
        ("model.sine_position=false", False),
        ("model.sine_position=0", False),
        ("model.share_blocks=True", True),
        ("model.drop_path=0", 0.0),
        ("model.drop_path=2.5e-1", 0.25),
        ("model.encoder=resnet50", "resnet50"),
        ("data.root=/data/a=b", "/data/a=b"),
        ("data.scale=(0.5, 2.0)", (0.5, 2.0)),
        ("data.scale=[0.5, 2.0]", (0.5, 2.0)),
        ("data.datasets=(('davis17', 5),)", (("davis17", 5),)),
        ("name=mine", "mine"),
        ("train.evaluate_on=davis17", ("davis17",)),
        ("train.evaluate_on=('davis16', ('davis17', '/data'))", ("davis16", ("davis17", "/data"))),
        ("data.max_gap.davis=7", 7),
    ],
)
def test_overrides_have_the_type_of_their_field(override, value):
    name = override.partition("=")[0]
    config = load_config("aost", [override])
    got = fields(config)[name]
    assert got == value
    assert type(got) is type(value)
    before, after = fields(load_config("aost")), fields(config)
    assert {field for field in before if after[field] != before[field]} == {name}


def test_later_overrides_win():
    assert load_config("aost", ["model.depth=1", "model.depth=2"]).model.depth == 2
    assert load_config("aost", ["data.root=/data", "data.root="]).data.root == ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.dept=2", r"no field 'model.dept'; near names: model.depth"),
        ("depth=2", r"no field 'depth'; near names: .*model.depth"),
        ("memory.gaps=2", r"no field 'memory.gaps'; near names: memory.gap"),
        ("qqqqqqqq=2", r"no field 'qqqqqqqq'; the fields are .*model.depth"),
        ("model=2", r"no field 'model'"),
        ("model.depth", r"override 'model.depth' has no value; write model.depth=VALUE"),
        ("model.depth=two", r"model.depth='two' does not fit: the field takes int, as in 3"),
        ("model.depth=2.5", r"model.depth='2.5' does not fit"),
        ("model.depth=True", r"model.depth='True' does not fit"),
        ("model.depth=", r"model.depth='' does not fit"),
        ("model.sine_position=maybe", r"model.sine_position='maybe' does not fit: the field takes bool"),
        ("model.drop_path=much", r"model.drop_path='much' does not fit: the field takes float"),
        ("data.scale=wide", r"data.scale='wide' does not fit: the field takes tuple"),
        ("data.scale=(1,", r"data.scale='\(1,' does not fit: the field takes tuple"),
        ("model.window=14", r"model.window is 14; it is odd"),
        ("model.window=-1", r"model.window is -1"),
        ("model.short_term_frames=4", r"model.short_term_frames is 4; it is 0 .. 3"),
        ("model.depth=0", r"model.depth is 0; it is at least 1"),
        ("model.identities=0", r"model.identities is 0"),
        ("model.channels=48", r"model.channels is 48; it is a multiple of 32"),
        ("model.heads=24", r"channels is 256; it is a multiple of 32 and of 2 \* model.heads, 48"),
        ("model.encoder=vgg", r"model.encoder is 'vgg'; it is one of mobilenet_v2, resnet50, swin_b"),
        ("model.block=v3", r"model.block is 'v3'; it is one of v1, v2, gpm"),
        ("model.local_attention=fast", r"model.local_attention is 'fast'; it is one of tiles, patches"),
    ],
)
def test_mistakes_are_explained(override, message):
    with pytest.raises(ConfigError, match=message):
        make_model(load_config("aost", [override]))


@pytest.mark.parametrize("override", ["model.heads=2", "model.scalable=True"])
def test_gated_propagation_has_one_head_and_one_depth(override):
    with pytest.raises(ConfigError, match=r"but block gpm goes with (1|False) alone"):
        make_model(load_config("deaotl", [override]))


def test_block_sharing_needs_a_scalable_model():
    with pytest.raises(ConfigError, match=r"share_blocks=True needs model\.scalable=True"):
        make_model(load_config("aotl", ["model.share_blocks=True"]))


@pytest.mark.parametrize(
    ("name", "crop", "message"),
    [
        ("aost", 465, None),
        ("aost", 464, r"data.crop is 464, but with model.align_corners=True the network takes 16 n \+ 1 .* as 465"),
        ("aotl_swinb", 464, None),
        ("aotl_swinb", 465, "data.crop is 465, but with model.align_corners=False the network takes 16 n .* as 464"),
    ],
)
def test_the_networks_take_the_crops_of_the_data(name, crop, message):
    config = load_config(name, [f"data.crop={crop}"])
    with pytest.raises(ConfigError, match=message) if message else contextlib.nullcontext():
        check_crop(config)


def test_dtype_is_checked():
    with pytest.raises(ConfigError, match="dtype is 'float16'; it is one of float32, bfloat16"):
        make_model(load_config("aott"), "float16")


def test_unknown_config_has_a_hint(tmp_path):
    with pytest.raises(ConfigError, match=r"no config at aost_r5: did you mean aost_r50.*configs/ holds aost, "):
        load_config("aost_r5")
    with pytest.raises(ConfigError, match=r"no config at configs/aotL.py: did you mean .*aotl"):
        load_config("configs/aotL.py")
    file = tmp_path / "mine.py"
    file.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"mine.py is not a config: it defines no get_config"):
        load_config(file)


def test_a_file_of_ones_own_may_import_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.py"
    file.write_text("from aot_jax.configs import aost\n\ndef get_config():\n    return aost.get_config()\n")
    assert load_config("mine.py").name == "aost"


def test_a_stage_is_an_argument():
    assert load_config("configs/aott.py:pretrain", ["seed=3"]).name == "pretrain_aott"
    with pytest.raises(ConfigError, match=r"aott.py: there is no stage 'first'; it is pretrain"):
        load_config("aott:first")
    with pytest.raises(ConfigError, match=r"quickstart.py has one stage: .* leave :pretrain out"):
        load_config("quickstart:pretrain")
    with pytest.raises(ConfigError, match=r"no config at aotx:pretrain: did you mean "):
        load_config("aotx:pretrain")


def test_a_file_with_a_colon_in_its_name(tmp_path):
    file = tmp_path / "mine:v2.py"
    file.write_text("from aot_jax.configs import aost\n\ndef get_config():\n    return aost.get_config()\n")
    assert load_config(file).name == "aost"


def flags(*argv):
    parser = argparse.ArgumentParser()
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--depth", type=int)
    return parse_args(parser, argv)


def test_overrides_are_taken_from_a_command_line_in_both_spellings():
    args, overrides = flags("--config", "a.py", "--config.model.depth=2", "--depth", "3", "--config.data.root", "/x=y")
    assert (args.config, args.depth) == ("a.py", 3)
    assert overrides == ["model.depth=2", "data.root=/x=y"]
    assert flags() == (argparse.Namespace(config="configs/aost_r50.py", depth=None), [])
    assert flags("--config=b.py")[0].config == "b.py"


def test_an_override_without_value_stops(capsys):
    with pytest.raises(SystemExit):
        flags("--config.model.depth")
    assert "--config.model.depth has no value" in capsys.readouterr().err
