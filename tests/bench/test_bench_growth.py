"""bench/growth.py and long_video.py on a tiny network: their rows, and times and memory that must not grow."""

import json

import jax
import pytest
import tiny

from bench import growth, long_video, rulers

pytestmark = pytest.mark.slow

TINY = [f"--config.{field}" for field in ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")]
SMALL = [*TINY, "--config", "aotl", "--config.model.depth=1", "--config.model.identities=2"]
SIZE = ["--height", "36", "--width", "44"]  # frame size; the network's input is 33 x 49, here and for the sizes below


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rulers, "SIDE", 64)
    monkeypatch.setattr("aot_jax.network.init_params", tiny.draw)


def run(program, tmp_path, *flags):
    path = tmp_path / "out.json"
    assert program.main([*SMALL, *flags, "--json", str(path)]) == 0
    return json.loads(path.read_text())


def test_growth_has_three_tables(tmp_path):
    flags = [*SIZE, "--sizes", "36x44,40x50", "--memory", "1,2", "--objects", "1,2,5", "--frames", "2"]
    found = run(growth, tmp_path, *flags)
    assert [(row["size"], row["pixels"], row["cells"]) for row in found["pixels"]] == [
        ([36, 44], 33 * 49, 12),
        ([40, 50], 33 * 49, 12),
    ]
    assert [row["memory_frames"] for row in found["memory"]] == [1, 2]
    objects = found["objects"]
    assert [(row["objects"], row["groups"]) for row in objects["rows"]] == [(1, 1), (2, 1), (5, 3)]
    assert len(objects["separate"]) == 3
    assert objects["of_separate"] == pytest.approx(objects["rows"][-1]["seconds"] / sum(objects["separate"]))
    rows = [*found["pixels"], *found["memory"], *objects["rows"]]
    assert all(row["seconds"] > 0 for row in rows)


def test_a_long_video_and_many_sizes_compile_a_bounded_number_of_programs(tmp_path):
    flags = [*SIZE, "--config.memory.gap=1", "--max_frames", "2", "--sizes", "3", "--frames", "9", "--every", "3"]
    jax.clear_caches()  # of other tests' programs
    found = run(long_video, tmp_path, *flags)
    rows = found["long"]
    assert [row["frame"] for row in rows] == [3, 6, 9]
    assert [row["memory_frames"] for row in rows] == [2, 2, 2]
    assert rows[0]["programs"] == rows[-1]["programs"], "nothing is compiled once memory is full"
    assert all(row["rss"] > 1 and row["frames_per_second"] > 0 for row in rows)
    first, again = found["sizes"]
    assert [row["input"] for row in first] == [[33, 49]] * 3
    assert [row["network"] for row in first[1:]] == [0, 0], "the input's size is that of the first"
    assert first[1]["small"] > 0
    assert first[0]["network"] > 0
    assert sum(row["network"] + row["small"] for row in again) == 0


def test_refusals_are_one_line(capsys):
    for program, flags, words in (
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
