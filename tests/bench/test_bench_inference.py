"""bench/inference.py on a tiny network: its rows, how its results are computed, and the peer's inputs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from bench import inference, rulers, video
from bench.measure import BenchError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TINY = [f"--config.{field}" for field in ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")]
SMALL = [*TINY, "--height", "49", "--width", "65"]
ROWS = ["input", "encode", "propagate", "decode", "segment", "labels", "masks", "memorize", "output", "step"]
STEP = ("input", "encode", "segment", "labels", "masks", "memorize")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(rulers, "SIDE", 64)
    monkeypatch.setattr("aot_jax.network.init_params", tiny.draw)


def test_every_program_is_timed_beside_its_floor(tmp_path, capsys, monkeypatch):
    def fail(*args):
        raise BenchError("their code fails")

    monkeypatch.setattr(inference.peer, "time_tracking", fail)
    path = tmp_path / "out.json"
    flags = [*SMALL, "--config", "aotl", "--config.memory.gap=2", "--config.model.depth=1", "--frames", "6"]
    flags += ["--batch", "2", "--peer", "somewhere", "--json", str(path)]
    assert inference.main(flags) == 2
    printed = capsys.readouterr()
    assert printed.err == "error: their code fails\n"
    table = printed.out[printed.out.index("compile s") :].splitlines()
    assert [line.split()[0] for line in table[1 : 1 + len(ROWS)]] == ROWS

    (case,) = json.loads(path.read_text())["cases"]
    programs = case["programs"]
    assert sorted(programs) == sorted(ROWS)
    assert case["objects"] == 2
    assert len(case["step_seconds"]) == case["frames"] == 4
    assert case["memory_frames"]["least"] == 2
    assert case["memory_frames"]["most"] == 3
    for name in ("encode", "propagate", "decode", "segment", "memorize", "step"):
        figures = programs[name]
        assert figures["compile"] > 0
        assert figures["seconds"] > 0
        assert figures["floor"] == pytest.approx(figures["flops"] / case["matrix_rate"])
        assert figures["units"] == pytest.approx(figures["seconds"] / case["unit"])
    assert programs["segment"]["flops"] == programs["propagate"]["flops"] + programs["decode"]["flops"]
    assert programs["step"]["flops"] == sum(programs[name]["flops"] for name in STEP)
    for name, videos in (("alone", 1), ("at_once", 2)):
        batch = case["batch"][name]
        assert batch["videos"] == videos
        assert batch["frames_per_second"] == pytest.approx(videos / batch["seconds"])
    rows = [line.split("  ")[0] for line in printed.out.splitlines()]
    assert rows[-2:] == ["alone", "several videos at once"]


def test_the_peer_gets_the_frames_that_the_network_sees(monkeypatch):
    seen = []
    monkeypatch.setattr(inference.peer, "time_tracking", lambda *args: seen.append(args))
    drawn = video.generate_video(2, 2, 49, 65)
    drawn = video.BenchVideo("ids with a gap", drawn.frames, np.where(drawn.mask == 2, 9, drawn.mask))
    inference.measure_peer(Path("checkout"), tiny.load(), drawn, 1, None)
    (_, config, depth, images, mask, output, _, warm_up) = seen[0]
    assert (config.name, depth, output, warm_up) == ("aott", 1, (49, 65), video.WARM_UP)
    assert [image.shape for image in images] == [(1, 49, 65, 3)] * 3
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(images[1][0] * deviation + mean, drawn.frames[1] / 255, atol=1e-5)
    np.testing.assert_array_equal(mask, np.searchsorted([0, 1, 9], drawn.mask))


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


@pytest.mark.parametrize("name", ["inference", "train"])
def test_programs_run_as_files_and_their_help_has_an_example(name):
    start = [sys.executable, f"bench/{name}.py", "--help"]
    shown = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"example: python -m bench.{name}" in " ".join(shown.split())
