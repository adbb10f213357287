"""bench/accelerator.py: results are written at once, a failed part does not affect others, forms are those of ops/."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from aot_jax.ops.forms import NAMES, by_platform
from bench import accelerator, accelerator_parts
from bench import forms as form_times
from bench.accelerator import SHARES, TINY, Part, run_part
from bench.forms import cases_of_forms

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def part(tmp_path):
    return Part("speed", tmp_path, TINY, None, time.monotonic() + 60)


def rows(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_results_are_written_at_once_and_put_beside_the_peers(part, tmp_path):
    case = {"config": "aott", "dtype": "bfloat16", "videos": 1, "objects": 10}
    part.record(**case, frames_per_second=300.0)
    assert "300" in (tmp_path / "table.txt").read_text()
    part._replace(name="peer").record(config="aott", frames_per_second=40.0)
    part._replace(name="peer").record(config="aost_r50", error="not there")
    assert [row["part"] for row in rows(tmp_path)] == ["speed", "peer", "peer"]
    assert (tmp_path / "table.txt").read_text().splitlines()[-1].split()[-1] == "7.50"


def test_a_case_that_fails_is_recorded_and_left_out(part, tmp_path):
    def build(case):
        if case["n"] == 2:
            raise MemoryError("too\nlarge")
        return -case["n"]

    assert list(part.compile(build, [{"n": n} for n in (1, 2, 3)])) == [({"n": 1}, -1), ({"n": 3}, -3)]
    assert rows(tmp_path) == [{"part": "speed", "n": 2, "error": "MemoryError: too large"}]


def test_a_program_that_takes_long_to_compile_does_not_keep_the_others_from_being_timed(part, tmp_path):
    timed = threading.Event()

    def build(case):
        assert case["n"] > 1 or timed.wait(60)
        return case["n"]

    hurried = part._replace(deadline=time.monotonic() + 0.5)
    found = []
    for _, n in hurried.compile(build, [{"n": n} for n in (1, 2, 3)]):
        found.append(n)
        timed.set()
    assert found == [2, 3, 1]
    assert rows(tmp_path) == [{"part": "speed", "note": "1 of 3 cases were compiling while others were timed"}]


@pytest.mark.parametrize(
    ("code", "seconds", "error"),
    [
        ("raise SystemExit('no such device')", 60, "exit code 1: no such device"),
        ("import time; time.sleep(99)", 0, "sto"),
    ],
)
def test_a_part_that_fails_or_is_too_slow_is_recorded(code, seconds, error, part, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "GRACE", 0.2 if not seconds else 3)
    start = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda command, **kwargs: start([sys.executable, "-c", code], **kwargs))
    run_part(part._replace(deadline=time.monotonic() + seconds), [])
    (row,) = rows(tmp_path)
    assert row["error"].startswith(error)


def test_parts_run_in_order_and_find_the_peer_from_any_folder(tmp_path, monkeypatch):
    started = []

    def fake(command, cwd, env, stdout, **_):
        part, peer = (command[command.index(flag) + 1] for flag in ("--parts", "--peer"))
        started.append((part, peer, env.get("JAX_PLATFORMS"), cwd))
        print(f"{part} fails", file=stdout, flush=True)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", fake)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    assert accelerator.main(["out", "--peer", "code", "--parts", "speed", "peer"]) == 0
    peer = str(tmp_path / "code")
    assert started == [("speed", peer, "cuda", ROOT), ("peer", peer, "cpu", ROOT)]
    assert [row["error"] for row in rows(tmp_path / "out")] == [
        "exit code 1: speed fails",
        "exit code 1: peer fails",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.txt", "results.jsonl", "table.txt"]


def test_every_part_has_a_function_and_every_form_is_compared(part):
    assert all(callable(getattr(accelerator_parts, name)) for name in SHARES)
    assert {name for name, _, _ in cases_of_forms(part.sizes.frame, "float32")} == set(NAMES)


def test_without_a_peer_nothing_is_left_of_an_earlier_run(tmp_path, capsys):
    (tmp_path / "table.txt").write_text("of another day")
    assert accelerator.main([str(tmp_path), "--parts", "peer"]) == 0
    assert capsys.readouterr().out == "peer: left out, for there is no --peer\n\n"
    assert (tmp_path / "table.txt").read_text() == ""


def test_a_network_that_fails_does_not_stop_those_after_it(part, tmp_path, monkeypatch):
    def time_copies(trackers, video):
        assert all(tracker.fresh for tracker in trackers)
        if trackers[0].config == "aott" and len(video.ids) == 1:
            trackers[0].fresh = False
            raise RuntimeError("RESOURCE_EXHAUSTED")
        return {"frames_per_second": 2.0}

    class Tracker:
        def __init__(self, config, depth):
            self.config, self.fresh = config, True

        def reset(self):
            self.fresh = True

    monkeypatch.setattr(accelerator_parts, "draw_model", lambda name, dtype: name)
    monkeypatch.setattr(accelerator_parts, "Tracker", Tracker)
    monkeypatch.setattr(accelerator_parts, "track_copies", lambda trackers, video: ())
    monkeypatch.setattr(accelerator_parts, "time_copies", time_copies)
    monkeypatch.setattr(accelerator_parts, "time_steps", lambda tracker, video: {"frames_per_second": 3.0})
    accelerator_parts.speed(part)  # this tracker has no `stream`
    of = {(row["config"], row["dtype"], row["objects"], row["videos"]): row for row in rows(tmp_path)}
    assert of["aott", "float32", 1, 1]["error"] == "RuntimeError: RESOURCE_EXHAUSTED"
    assert of["aott", "float32", 10, 2]["frames_per_second"] == 2.0
    assert of["aost", "float32", 1, 2]["frames_per_second"] == 2.0
    assert of["aott", "bfloat16", 10, "step by step"]["frames_per_second"] == 3.0
    assert "error" in of["aott", "bfloat16", 10, "as a stream"]
    part._replace(name="peer").record(config="aott", frames_per_second=1.0)
    assert "times as fast" in (tmp_path / "table.txt").read_text()


def test_a_form_that_cannot_be_traced_does_not_stop_the_others(part, tmp_path, monkeypatch):
    def cases(frame, dtype):
        yield "attention", lambda x: x.no_such_thing, [np.ones(2, np.float32)]
        operands = [np.ones(2, np.float32)]
        yield "windows", lambda x: by_platform("windows", x, cpu=lambda x: -x, gpu=lambda x: x * x), operands

    monkeypatch.setattr(form_times, "cases_of_forms", cases)
    accelerator_parts.forms(part)
    failed = [row["form"] for row in rows(tmp_path) if "error" in row]
    timed = [(row["form"], row["kind"], row["form_of"]) for row in rows(tmp_path) if "ms" in row]
    assert failed == ["attention 0"] * 8
    assert sorted(set(timed)) == [
        ("windows 1", kind, platform) for kind in ("forward", "gradients") for platform in ("cpu", "gpu")
    ]


def test_gradients_depend_on_the_operands_even_of_a_linear_form():
    for x in (1.0, 2.0):
        np.testing.assert_allclose(form_times.gradients(lambda x: 3 * x)(np.float32(x)), [18 * x])


def test_the_script_runs_a_part_as_a_process(tmp_path):
    command = ["bench/accelerator.sh", str(tmp_path), "--tiny", "--parts", "versions", "--seconds", "300"]
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    (row,) = rows(tmp_path)
    assert row["platform"] == "cpu"
    assert row["cudnn"] is False
