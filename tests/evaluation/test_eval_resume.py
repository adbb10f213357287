"""eval.py killed and restarted, on several devices and on several hosts: always the same files."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from miniature import COUNTS, Miniature, Oracle, patch_command

from aot_jax import Tracker
from aot_jax.commands import eval as command
from aot_jax.evaluation.run import FinishedVideos, copy_to_devices, run_split, share_videos
from aot_jax.evaluation.splits import Split, SplitVideo, load_split
from aot_jax.evaluation.timing import Timing, end_to_end_fps, overall_fps
from aot_jax.io.masks import write_mask
from aot_jax.runs import RunError, lock

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TOTAL = sum(COUNTS.values()) - 1  # annotated frames of youtubevos18: the first of `late` is not


@pytest.fixture
def made(tmp_path):
    return Miniature(tmp_path / "data", truth=False).youtubevos(2018, all_frames=False)


def flags(made, output, *more):
    required = ["--split", "youtubevos18", "--data", str(made.root), "--output", str(output), "--random_weights"]
    return [*required, *more]


def start(kill_at, made, output, *more):
    """Start eval.py with an oracle as a process."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, str(ROOT / "tests" / "eval_process.py"), str(kill_at), str(made.root)]
    return subprocess.Popen(
        [*program, *flags(made, output, *more)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(monkeypatch, made, output, *more):
    oracle = Oracle(made.answers)
    patch_command(monkeypatch, lambda *_, **__: oracle)
    return command.main(flags(made, output, *more)), oracle


def contents(output):
    """Return {name: bytes} of all files except those with timings."""
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "scores.json" and ".run" not in path.parts
    }


def test_a_killed_run_goes_on_and_ends_with_the_same_files(made, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, made, tmp_path / "whole")[0] == 0
    # Its order is late (5 frames), plain (4), still (1): it dies in the middle of the second.
    process = start(7, made, tmp_path / "out")
    _, errors = process.communicate(timeout=900)
    assert process.returncode == -9, errors
    assert [path.name for path in (tmp_path / "out/.run/videos").iterdir()] == ["late.json"]
    assert not list((tmp_path / "out").glob("*.zip"))
    remains = tmp_path / "out/Annotations/plain/.00005.png.0123456789abcdef0123456789abcdef.tmp"
    remains.parent.mkdir(exist_ok=True)
    remains.write_bytes(b"half a file")
    code, oracle = run(monkeypatch, made, tmp_path / "out")
    assert code == 0
    assert oracle.steps == TOTAL - 5
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    # A third run has nothing to do and gives the same scores.
    figures = json.loads((tmp_path / "out/scores.json").read_text())
    code, oracle = run(monkeypatch, made, tmp_path / "out")
    assert (code, oracle.steps) == (0, 0)
    assert json.loads((tmp_path / "out/scores.json").read_text()) == figures
    # If a mask is missing, its video is segmented again.
    (tmp_path / "out/Annotations/late/00010.png").unlink()
    code, oracle = run(monkeypatch, made, tmp_path / "out")
    assert (code, oracle.steps) == (0, 5)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_video_is_finished_when_its_last_mask_is_on_disk(made, tmp_path, monkeypatch):
    def write_slowly(path, labels):
        time.sleep(0.05)
        write_mask(path, labels)

    monkeypatch.setattr("aot_jax.io.mask_writer.write_mask", write_slowly)
    finished = []

    class Checked(FinishedVideos):
        def add(self, sequence, timing):
            finished.append(sequence.name)
            assert len(list((tmp_path / "Annotations" / sequence.name).glob("*.png"))) == len(sequence.frames)

    split = load_split("youtubevos18", made.root)
    run_split([[Oracle(made.answers)]], split, tmp_path, Checked(tmp_path, tmp_path / "Annotations"))
    assert finished == ["late", "plain", "still"]


def test_masks_of_another_run_are_not_mixed_in(made, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, made, tmp_path / "out")[0] == 0
    code, oracle = run(monkeypatch, made, tmp_path / "out", "--flip")
    assert (code, oracle.steps) == (2, 0)
    message = capsys.readouterr().err
    assert f"error: {tmp_path / 'out'} holds a run with other settings:\n  flip: False there, True now\n" in message
    assert "--overwrite" in message
    code, oracle = run(monkeypatch, made, tmp_path / "out", "--flip", "--overwrite")
    assert (code, oracle.steps) == (0, TOTAL)
    assert run(monkeypatch, made, tmp_path / "out", "--flip")[1].steps == 0


def test_a_folder_that_another_run_works_in_is_refused(made, tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    with lock(tmp_path / "out"):
        code, oracle = run(monkeypatch, made, tmp_path / "out")
    assert (code, oracle.steps) == (2, 0)
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/out is in use by another run")
    assert run(monkeypatch, made, tmp_path / "out")[0] == 0


def test_hosts_share_the_videos():
    lengths = [50, 7, 30, 30, 1, 12, 9]
    videos = [SplitVideo(f"v{i}", (Path("x.jpg"),) * n, {}) for i, n in enumerate(lengths)]
    shares = [share_videos(videos, host, 3) for host in range(3)]
    assert sorted(v.name for share in shares for v in share) == [v.name for v in videos]
    assert [sum(len(v.frames) for v in share) for share in shares] == [50, 43, 46]
    assert [v.name for v in shares[1]] == ["v2", "v4", "v5"]  # in the split's order
    assert share_videos(videos, 0, 1) == videos
    assert share_videos(videos[:1], 1, 2) == []


def free_port():
    with socket.socket() as connection:
        connection.bind(("localhost", 0))
        return connection.getsockname()[1]


def hosts(made, output):
    more = ["--coordinator", f"localhost:{free_port()}", "--processes", "2", "--process"]
    processes = [start(0, made, output, *more, str(i)) for i in range(2)]
    outputs = [process.communicate(timeout=900) for process in processes]
    return [process.returncode for process in processes], outputs


def test_two_hosts_end_with_the_files_of_one_and_fail_together(made, tmp_path, monkeypatch):
    assert run(monkeypatch, made, tmp_path / "whole")[0] == 0
    frame = made.root / "YouTubeVOS/2018/valid/JPEGImages/plain/00010.jpg"
    whole = frame.read_bytes()
    frame.write_bytes(whole[:50])
    codes, outputs = hosts(made, tmp_path / "out")
    assert codes == [2, 2], outputs
    assert f"error: {frame}: cannot be read" in outputs[1][1]
    assert "error: another host has stopped with an error" in outputs[0][1]
    frame.write_bytes(whole)
    codes, outputs = hosts(made, tmp_path / "out")
    assert codes == [0, 0], outputs
    # The first host had finished `late` before; the other does `plain` and `still` and prints no figures.
    assert outputs[0][0].splitlines()[-1] == "steps 0"
    assert outputs[1][0].splitlines()[-1] == "steps 5"
    assert "fps" not in outputs[1][0]
    assert "youtubevos18.zip" in outputs[0][0]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_devices_share_the_videos(tmp_path):
    made = Miniature(tmp_path / "data", truth=False).folder()
    split = load_split("folder", made.root)
    split = Split("folder", (split.sequences[0], split.sequences[2]), split.annotations)
    model = tiny.load("aott")
    assert len(copy_to_devices(model, 7, 3)) == 3
    models = copy_to_devices(model, 2)
    devices = [next(iter(jax.tree.leaves(copy.params)[0].devices())) for copy in models]
    assert devices == jax.local_devices()[:2]
    run_split([[Tracker(copy)] for copy in models], split, tmp_path / "two")
    run_split([[Tracker(model)]], split, tmp_path / "one")
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert len(contents(tmp_path / "two")) == COUNTS["late"] + COUNTS["still"]


def test_rates_are_over_all_videos():
    timings = [Timing(3, 1.5, 4, 8.0), Timing(9, 1.5, 12, 8.0), Timing(0, 0.0, 1, 4.0)]
    assert overall_fps(timings) == 4
    assert end_to_end_fps(timings) == 17 / 20
    assert np.isnan(timings[2].fps)


def test_results_on_a_disk_that_is_not_shared_are_missed(tmp_path, monkeypatch):
    monkeypatch.setattr("aot_jax.evaluation.run.PATIENCE", 0.0)
    finished = FinishedVideos(tmp_path, tmp_path)
    with pytest.raises(RunError, match="give a folder that all hosts share with --output"):
        finished.wait_for([SplitVideo("far", (Path("0.jpg"),), {})])
