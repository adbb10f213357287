"""bench/inference.py on a tiny network: which rows it prints, what its figures are made of, what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.network import Model, make_model
from aot_jax.tracker import stream
from bench import inference, measure, videos

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = Path(__file__).resolve().parents[2]
TINY = [f"--config.{field}" for field in ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")]
SMALL = [*TINY, "--height", "49", "--width", "65"]
ROWS = ["input", "encode", "propagate", "decode", "segment", "labels", "masks", "memorize", "output", "step"]


def draw_model(config, checkpoint, dtype):
    assert checkpoint is None
    module = make_model(config, dtype)
    return Model(module, tiny.draw(module), config)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(measure, "SIDE", 64)
    monkeypatch.setattr(inference, "load_model", draw_model)


def test_every_program_is_timed_beside_its_floor(tmp_path, capsys):
    path = tmp_path / "out.json"
    flags = [*SMALL, "--config", "aotl", "--config.memory.gap=2", "--config.model.depth=1", "--frames", "5"]
    flags += ["--batch", "2"]
    with measure.Compilations() as compilations:
        assert inference.main([*flags, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    table = printed[printed.index("compile s") :].splitlines()
    assert [line.split()[0] for line in table[1 : 1 + len(ROWS)]] == ROWS
    assert "a memory frame every 2" in printed
    assert "saw 2 memory frames (2 - 3): too few to trust" in printed
    assert "above the target of 2.5" in printed or "within the target of 2.5" in printed

    (case,) = json.loads(path.read_text())["cases"]
    programs = case["programs"]
    assert list(programs) == ROWS
    assert case["objects"] == 2
    assert len(case["step_seconds"]) == case["frames"] == 3
    for name in ("encode", "propagate", "decode", "segment", "memorize", "step"):
        figures = programs[name]
        assert figures["compile"] > 0
        assert figures["seconds"] > 0
        assert figures["floor"] == pytest.approx(figures["flops"] / case["matrix_rate"])
        assert figures["over_floor"] == pytest.approx(figures["seconds"] / figures["floor"])
        assert figures["units"] == pytest.approx(figures["seconds"] / case["unit"])
    assert programs["segment"]["flops"] == programs["propagate"]["flops"] + programs["decode"]["flops"]
    parts = sum(programs[name]["flops"] or 0 for name in ("input", "encode", "segment", "labels", "masks", "memorize"))
    assert programs["step"]["flops"] == pytest.approx(parts, rel=0.01)
    assert f"2 videos at once, a program a frame: {case['batch']['frames_per_second']:.4g} frames/s" in printed
    assert case["batch"]["frames_per_second"] == pytest.approx(2 * 5 / case["batch"]["seconds"])
    assert compilations.names["_segment"] == 2, "the reference's and the others', each once"


def test_the_peer_gets_the_same_frames(monkeypatch):
    seen = []
    monkeypatch.setattr(inference.peer, "time_tracking", lambda *args: seen.append(args))
    clip = videos.generate_clip(2, 2, 40, 65)
    clip = videos.Clip("ids with a gap", clip.frames, np.where(clip.mask == 2, 9, clip.mask))
    model = tiny.load()
    inference.measure_peer(Path("checkout"), model, clip, 1, None)
    (_, config, depth, images, mask, output, _, warm_up) = seen[0]
    assert (config.name, depth, output, warm_up) == ("aott", 1, (40, 65), inference.WARM_UP)
    tracker = Tracker(model)
    tracker.step(clip.frames[0], clip.mask)
    view = tracker._streams[0].view
    np.testing.assert_allclose(images[1], stream._prepare(clip.frames[1], view), atol=1e-5)
    np.testing.assert_array_equal(mask, stream._masks(np.searchsorted([0, 1, 9], clip.mask), view, 1, 10)[0])


def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path, capsys):
    for flags, words in (
        (["--frames", "2"], "2 frames are too few"),
        (["--video", str(tmp_path)], "--video and --mask go together"),
        (["--config", "no_such"], "no config at no_such"),
        (["--config", "aott", "--depth", "2"], "this network runs at 1"),
        (["--objects", "250"], "of 250 generated objects show"),
    ):
        assert inference.main([*SMALL, *flags]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert words in error
        assert error.count("\n") == 1


def test_programs_run_as_files():
    start = [sys.executable, "bench/inference.py", "--help"]
    shown = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "example: python -m bench.inference" in " ".join(shown.split())
