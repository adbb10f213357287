"""Fixtures that several files use."""

import os
import shutil

import jax
import pytest
import tiny

from aot_jax.training import optim

jax.config.update("jax_num_cpu_devices", 4)  # what splits over devices is tested on as many

KEPT_BYTES = 1 << 30  # of compiled programs; a run makes 60 MB


def pytest_configure(config):
    """Keep compiled programs between tests, workers and runs: most of the time goes into making them."""
    folder = config.rootpath / ".pytest_cache" / "compiled"
    if not hasattr(config, "workerinput") and sum(path.stat().st_size for path in folder.glob("*")) > KEPT_BYTES:
        shutil.rmtree(folder)
    settings = {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0}
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)  # of the processes that tests start


def compile_quickly():
    """Compile with few optimizations: small networks spend their time in the compiler, not in the program."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


quick_compilation = pytest.fixture(compile_quickly, scope="module", name="quick_compilation")
quick_compilation_of_test = pytest.fixture(compile_quickly, name="quick_compilation_of_test")


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Let the tests' encoder be trained as others are: its first stages and its batch norm stand still."""
    monkeypatch.setitem(optim.FROZEN, "tiny", [tiny.FROZEN])
    monkeypatch.setattr(optim, "BATCH_NORM", r"^encoder/conv0/")


def pytest_terminal_summary(terminalreporter):
    """Say how many of the authors' cases were run."""
    kinds = {
        "test_own_figures": "own",
        "test_inference": "inference",
        "test_tracking": "tracking",
        "test_training": "training",
    }
    counts = dict.fromkeys(kinds.values(), 0)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        test = report.nodeid.rpartition("::")[2].partition("[")
        if "test_parity.py" in report.nodeid and test[1] and test[0] in kinds and report.when == "call":
            counts[kinds[test[0]]] += 1
    if any(counts.values()):
        terminalreporter.write_line("parity cases run: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
