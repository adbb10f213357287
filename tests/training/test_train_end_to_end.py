"""train.py as a process: killed at any moment and resumed, it gives the same weights as a run without stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from aot_jax.config import load_config
from aot_jax.network import load_params

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STEPS = 12
SEED = 7  # seed of the random moments at which processes are stopped
FIELDS = (
    "model.encoder=small",
    "model.channels=32",
    "model.heads=1",
    "model.window=3",
    "model.depth=1",
    "data.datasets=(('generated',1),)",
    "data.generated.videos=3",
    "data.generated.frames=8",
    "data.generated.height=48",
    "data.generated.width=64",
    "data.frames=2",
    "data.crop=33",
    "data.short_edge=48",
    "data.min_reference_pixels=20",
    "data.min_object_pixels=10",
    "data.merge_probability=0.5",
    f"train.steps={STEPS}",
    "train.batch_size=2",
    "train.log_every=1",
    "train.picture_every=6",
)
OFTEN = "--config.train.checkpoint_every=3"  # for the run that is stopped; the others save only at the end


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder for the runs, named after their config."""
    folder = tmp_path_factory.mktemp("training") / "aost"
    folder.mkdir()
    return folder


def command(place, run, *flags):
    fields = [f"--config.{field}" for field in (*FIELDS, f"train.output={place / run}", f"data.prepared={place}")]
    return [sys.executable, str(ROOT / "train.py"), "--config", place.name, *fields, *flags]


def start(place, run, *flags):
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        command(place, run, *flags), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process):
    try:
        output = process.communicate(timeout=900)[0]  # long enough for slow machines: only a hang exceeds it
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()[0]
    return process.returncode, output.decode(errors="replace")


def weights(place, run):
    config = load_config(place.name, [field for field in FIELDS if field.startswith("model")])
    return flatten_dict(load_params(place / run / place.name / "weights", config))


def last_step(place, run):
    lines = place / run / place.name / "figures.jsonl"
    text = lines.read_text().splitlines() if lines.is_file() else []
    return json.loads(text[-1])["step"] if text else 0


def wait_until(process, condition):
    while not condition():
        assert process.poll() is None, finish(process)
        time.sleep(0.002)


def kill_when(process, condition):
    wait_until(process, condition)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="module")
def unharmed(place):
    code, output = finish(start(place, "unharmed"))
    assert code == 0, output
    return weights(place, "unharmed")


def test_killed_terminated_and_resumed_is_never_stopped(place, unharmed):
    rng = np.random.default_rng(SEED)
    first, second = sorted(rng.choice(np.arange(2, STEPS - 4), 2, replace=False))
    checkpoints = place / "stopped" / place.name / "checkpoints"

    def saving():  # orbax writes to a folder of another name and renames it when all is there
        return last_step(place, "stopped") >= first and any("tmp" in path.name for path in checkpoints.iterdir())

    kill_when(start(place, "stopped", OFTEN), saving)
    # On SIGTERM it saves before it stops.
    second = max(second, last_step(place, "stopped") + 1)  # once it is running
    process = start(place, "stopped", OFTEN)
    wait_until(process, lambda: last_step(place, "stopped") >= second)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 128 + signal.SIGTERM, output
    assert max(int(path.name) for path in checkpoints.iterdir()) == last_step(place, "stopped")
    code, output = finish(start(place, "stopped", OFTEN))
    assert code == 0, output
    found = weights(place, "stopped")
    assert found.keys() == unharmed.keys()
    for path, value in unharmed.items():
        moments = f"killed from {first} on, asked to stop at {second}"
        np.testing.assert_array_equal(found[path], value, err_msg=f"{path}, {moments}")
    assert (place / "stopped" / place.name / "pictures" / f"{STEPS:07d}.jpg").is_file()


def test_two_processes_train_as_one(place, unharmed):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    flags = ("--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process")
    both = [start(place, "two", *flags, str(i)) for i in range(2)]
    for process in both:
        code, output = finish(process)
        assert code == 0, output
    found = weights(place, "two")
    for path, value in unharmed.items():
        np.testing.assert_allclose(found[path], value, atol=2e-4, err_msg=str(path))
    lines = (place / "two" / place.name / "figures.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, STEPS + 1))
