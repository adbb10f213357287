"""bench/accelerator_train.sh with a stand-in for Python: weights arrive in pieces, whatever ends training."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIECE = 15 << 20
# Trains until AWAITED exists and exports two pieces' worth of weights that name the update.
PYTHON = """#!/usr/bin/env bash
if [ "$1" = train.py ]; then
  for flag in "$@"; do case $flag in --config.train.output=*) run=${flag#*=}/run ;; esac; done
  mkdir -p "$run" && echo '{}' > "$run/figures.jsonl"
  echo "$@"
  for ((i = 1; i <= UPDATES; i++)); do echo "$i" > "$run/step"; done
  while [ ! -e "$AWAITED" ]; do sleep 0.1; done
  [ ! -e "$run/step" ] || echo "$i" > "$run/step"
  exit CODE
fi
[ -e "$4/step" ] || exit 2
(cat "$4/step"; head -c 17000000 /dev/zero) > "$6"
sha256sum "$6" > "${6%.safetensors}.sha256"
"""


def train(tmp_path, updates, code=0, awaited=".", every=60):
    python = tmp_path / "python"
    python.write_text(PYTHON.replace("UPDATES", str(updates)).replace("CODE", str(code)))
    python.chmod(0o755)
    (tmp_path / "data").mkdir()
    flags = [str(tmp_path / "out"), str(tmp_path / "data"), "--config.train.steps=7"]
    environment = {"PYTHON": str(python), "EVERY": str(every), "AWAITED": str(tmp_path / "out" / awaited)}
    script = ["bench/accelerator_train.sh", *flags]
    return subprocess.run(script, cwd=ROOT, env=os.environ | environment, check=False, capture_output=True, text=True)


def weights(out):
    """Return the number of the only copy in `out` and the update that it is of, after checking it."""
    (copy,) = (path for path in out.iterdir() if path.is_dir())
    pieces = sorted(copy.glob("weights.safetensors.*"))
    assert [path.name for path in pieces] == ["weights.safetensors.00", "weights.safetensors.01"]
    assert pieces[0].stat().st_size == PIECE
    data = b"".join(path.read_bytes() for path in pieces)
    assert hashlib.sha256(data).hexdigest() == (copy / "weights.sha256").read_text().split()[0]
    return int(copy.name), int(data.split(b"\n")[0])


def test_the_last_weights_are_kept_when_training_ends(tmp_path):
    assert train(tmp_path, updates=3).returncode == 0
    assert weights(tmp_path / "out") == (1, 4)
    first = (tmp_path / "out" / "log.txt").read_text().splitlines()[0]
    assert f"--config.data.root={tmp_path / 'data'}" in first
    assert first.endswith("--config.train.steps=7")
    assert (tmp_path / "out" / "figures.jsonl").read_text() == "{}\n"


def test_weights_are_replaced_while_training_runs(tmp_path):
    done = train(tmp_path, updates=1, code=124, awaited="2", every=0.1)  # 124: `timeout` has stopped it
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "stopped after 480 s"
    copy, update = weights(tmp_path / "out")
    assert copy > 2
    assert update == 2


@pytest.mark.parametrize("updates", [0, 3])
def test_an_error_of_training_is_its_exit_code(tmp_path, updates):
    done = train(tmp_path, updates=updates, code=2)
    assert done.returncode == 2
    assert any(path.is_dir() for path in (tmp_path / "out").iterdir()) == (updates > 0)


def test_training_starts_without_tensorflow_and_pyav():
    code = "import sys; sys.modules.update(tensorflow=None, av=None); from aot_jax.commands.train import main; main()"
    command = [sys.executable, "-c", code, "--config", "no_such"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.stderr.startswith("error: no config at no_such")
