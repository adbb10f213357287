"""Output folders: settings that must agree, free and used folders, one process at a time."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aot_jax import runs
from aot_jax.runs import Run, RunError, lock


def test_results_are_not_overwritten_unasked(tmp_path):
    out = tmp_path / "out"
    (out / "notes").mkdir(parents=True)
    with pytest.raises(RunError, match="holds something already: continue it with --resume"):
        Run(out, {"depth": 2}).__enter__()
    with Run(out, {"depth": 2}, overwrite=True) as run:
        run.save({"frame": 0})
    with pytest.raises(RunError, match="holds something already"):
        Run(out, {"depth": 2}).__enter__()
    with pytest.raises(RunError, match="with other settings:\n  depth: 2 there, 3 now\n"):
        Run(out, {"depth": 3}, resume=True).__enter__()
    with Run(out, {"depth": 2}, resume=True) as run:
        assert run.progress == {"frame": 0}
    (out / "a.png").write_text("")
    (out / "b.txt").write_text("")
    with Run(out, {"depth": 3}, overwrite=True, results=("*.png",)) as run:
        assert run.progress == {}
    assert sorted(path.name for path in out.iterdir()) == ["b.txt", "notes", "progress.json"]


def test_a_run_that_did_nothing_may_begin_again(tmp_path):
    for depth in (2, 3):
        with Run(tmp_path / "out", {"depth": depth}) as run:
            assert run.progress == {}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"progress": 3, "settings": {}}', '"\\ud800"', "[" * 100_000]
)
def test_records_that_are_broken_are_refused(tmp_path, content):
    (tmp_path / "progress.json").write_text(content)
    with pytest.raises(RunError, match=r"progress\.json"):
        Run(tmp_path, {}, resume=True).__enter__()


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_run_at_once_is_refused_and_changes_nothing(tmp_path, options):
    with Run(tmp_path / "out", {"video": "a"}) as run:
        before = run.record.read_text()
        with pytest.raises(RunError, match="is in use by another run: wait until it has ended"):
            Run(tmp_path / "out", {"video": "b"}, **options).__enter__()
        assert run.record.read_text() == before
        with pytest.raises(RunError, match="is in use"):  # the failed attempt has not released the lock
            Run(tmp_path / "out", {"video": "a"}, **options).__enter__()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["progress.json"]


def test_a_killed_process_holds_no_lock(tmp_path):
    code = f"""
import time
from pathlib import Path
from aot_jax.runs import lock

with lock(Path({str(tmp_path)!r})):
    print("in", flush=True)
    time.sleep(600)
"""
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as other:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(RunError, match="in use"), lock(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    with lock(tmp_path):
        pass


def test_a_file_system_without_locks_is_no_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(runs.FileLock, "acquire", refuse)
    with Run(tmp_path / "out", {}) as run:
        run.save({"frame": 1})
