"""bench/evaluation.py on a miniature split: both ways track the same frames, and the figures belong together."""

import itertools
import json
from statistics import median

import pytest
import tiny
from miniature import Miniature

from aot_jax.tracker.tracker import Tracker
from bench import evaluation

pytestmark = pytest.mark.slow

TINY = [f"--config.{field}" for field in ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")]


def test_both_ways_track_the_same_frames(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aot_jax.network.init_params", tiny.draw)
    monkeypatch.setattr(evaluation.time, "perf_counter", itertools.count().__next__)  # a reading is a second
    tracked = []
    submit = Tracker.submit
    monkeypatch.setattr(
        Tracker,
        "submit",
        lambda self, frame, mask=None, **options: (
            tracked.append((frame.tobytes(), None if mask is None else mask.tobytes()))
            or submit(self, frame, mask, **options)
        ),
    )
    Miniature(tmp_path / "data", truth=True).folder()  # its video "late" has a second mask
    path = tmp_path / "out.json"
    flags = [*TINY, "--config", "aott", "--split", "folder", "--data", str(tmp_path / "data"), "--turns", "2"]
    assert evaluation.main([*flags, "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["frames"] == 11
    turns = [tracked[i : i + 11] for i in range(0, len(tracked), 11)]
    assert len(turns) == 6
    assert all(turn == turns[0] for turn in turns)
    assert [row["turn"] for row in found["turns"]] == [1, 2]
    for row in found["turns"]:
        assert row["alone_seconds"] >= 1 / 11
        assert row["ratio"] == row["seconds"] / row["alone_seconds"]
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "median"
    assert float(last[-1]) == pytest.approx(median(row["ratio"] for row in found["turns"]), abs=0.01)


def test_a_missing_split_is_one_line(tmp_path, capsys):
    assert evaluation.main(["--split", "davis16", "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
