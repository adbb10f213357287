"""The list of configs: every file, with the true properties of its network."""

import pytest

from aot_jax.config import config_names
from aot_jax.configs import __main__ as configs


@pytest.mark.parametrize(
    ("flags", "row"),
    [
        (["aott"], "aott mobilenet_v2 v1 1 5,734,099 - (reference only)"),
        (
            ["configs/aost_shared.py", "--config.memory.max_frames=9"],
            "aost_shared mobilenet_v2 v2, one for all layers 1 - 3 5,869,275 5 (training: 2), 9 at most",
        ),
        (["aost", "--config.model.depth=1"], "aost mobilenet_v2 v2 1 5,802,203 5 (training: 2)"),
    ],
)
def test_what_a_network_has(flags, row, capsys):
    assert configs.main(flags) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()][1:] == [row]


def test_every_config_is_listed_in_one_column(monkeypatch, capsys):
    monkeypatch.setattr(configs, "count_parameters", lambda config: 12_345_678)
    assert configs.main([]) == 0
    table, notes = capsys.readouterr().out.split("\n\n")
    title, *rows = table.splitlines()
    assert [row.split()[0] for row in rows] == config_names()
    assert {row.index("12,345,678") for row in rows} == {title.index("parameters")}
    assert "NAME:pretrain is the first stage of training, on still images, of all but quickstart" in notes


def test_a_config_that_is_not_there(capsys):
    assert configs.main(["aostt"]) == 2
    assert capsys.readouterr().err.startswith("error: no config at aostt: did you mean ")
