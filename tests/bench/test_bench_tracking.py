"""bench/objects.py, growth.py and long_video.py on a tiny network: their rows, and what must not grow."""

import json

import pytest
import tiny

from aot_jax.network import Model, make_model
from aot_jax.tracker import stream
from bench import growth, long_video, measure, objects

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = [f"--config.{field}" for field in ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")]
SMALL = [*TINY, "--config", "aotl", "--config.model.depth=1", "--config.model.identities=2"]
SIZE = ["--height", "36", "--width", "44"]  # of the network's input: 33 x 49, here and for the sizes below


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(measure, "SIDE", 64)

    def draw(config):
        module = make_model(config)
        return Model(module, tiny.draw(module), config)

    for program in (objects, growth, long_video):
        monkeypatch.setattr(program, "load_model", draw)


def run(program, tmp_path, *flags):
    path = tmp_path / "out.json"
    assert program.main([*SMALL, *flags, "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_objects_at_once_are_compared_with_separate_runs(tmp_path, capsys):
    found = run(objects, tmp_path, *SIZE, "--config.memory.gap=0", "--frames", "4", "--objects", "1,2,5")
    assert [(row["objects"], row["groups"]) for row in found["rows"]] == [(1, 1), (2, 1), (5, 3)]
    assert len(found["separate"]) == 3
    assert found["of_separate"] == pytest.approx(found["rows"][-1]["seconds"] / sum(found["separate"]))
    printed = capsys.readouterr().out
    assert "1 to 2 objects: times differ by" in printed
    assert f"5 objects at once take {found['of_separate']:.2f} of 3 separate runs" in printed
    assert "the target of 0.6" in printed


def test_growth_has_four_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(growth, "CAPACITY", 2)
    flags = [*SIZE, "--sizes", "36x44,40x50", "--memory", "1,2", "--objects", "1,2"]
    found = run(growth, tmp_path, *flags, "--frames", "2", "--length", "8")
    assert [(row["size"], row["pixels"], row["cells"]) for row in found["pixels"]] == [
        ([36, 44], 33 * 49, 12),
        ([40, 50], 33 * 49, 12),
    ]
    assert [row["memory_frames"] for row in found["memory"]] == [1, 2]
    assert [(row["first"], row["last"]) for row in found["number"]] == [(5, 6), (7, 8), (9, 10), (11, 12)]
    assert [row["objects"] for row in found["objects"]] == [1, 2]
    assert all(row["seconds"] > 0 for name in ("pixels", "memory", "number", "objects") for row in found[name])
    printed = capsys.readouterr().out
    for title in ("Pixels", "Memory frames", "Number of the frame", "Objects"):
        assert f"\n{title} " in printed


def test_a_long_video_and_many_sizes_compile_a_bounded_number_of_programs(tmp_path, capsys):
    flags = [*SIZE, "--config.memory.gap=1", "--max_frames", "2", "--sizes", "3"]
    found = run(long_video, tmp_path, *flags, "--frames", "9", "--every", "3")
    rows = found["long"]
    assert [row["frame"] for row in rows] == [3, 6, 9]
    assert [row["memory_frames"] for row in rows] == [2, 2, 2]
    assert rows[0]["programs"] == rows[-1]["programs"], "nothing is compiled once memory is full"
    assert all(row["rss"] > 1 and row["frames_per_second"] > 0 for row in rows)
    first, again = found["sizes"]
    assert [row["input"] for row in first] == [[33, 49]] * 3
    assert [row["network"] for row in first[1:]] == [0, 0], "the input's size is that of the first"
    assert first[1]["small"] > 0
    assert all(hasattr(stream, name) for name in long_video.NETWORK)
    assert sum(row["network"] + row["small"] for row in again) == 0
    assert "this frame is 34x44 but those before were 36x44" in found["refused"]
    printed = capsys.readouterr().out
    assert "3 sizes, 1 inputs of the network" in printed
    assert found["refused"] in printed


@pytest.mark.parametrize("program", [objects, growth, long_video])
def test_help_has_an_example(program, capsys):
    with pytest.raises(SystemExit, match="0"):
        program.main(["--help"])
    assert f"example: python -m {program.__name__}" in " ".join(capsys.readouterr().out.split())


def test_refusals_are_one_line(capsys):
    for program, flags, words in (
        (objects, ["--depth", "2"], "--depth: depth is 2"),
        (growth, ["--depth", "2"], "--depth: depth is 2"),
        (long_video, ["--config", "no_such"], "no config at no_such"),
    ):
        assert program.main([*SMALL, *flags]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert words in error
    with pytest.raises(SystemExit):
        growth.main(["--sizes", "10x20"])
    assert "list of sizes" in capsys.readouterr().err
