"""Fixtures that several files use."""

import jax
import pytest
import tiny
from jax.experimental.compilation_cache import compilation_cache

from aot_jax.training import optim

jax.config.update("jax_num_cpu_devices", 4)  # what splits over devices is tested on as many


@pytest.fixture(scope="session", autouse=True)
def kept_programs(tmp_path_factory):
    """Keep this process' compiled programs: many tests build the same networks anew."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_compilation_cache_max_size", 1 << 30)  # with a limit it locks, for tests in threads
    compilation_cache.reset_cache()  # what was set counts from the first compilation on, which may be at an import


def compile_quickly():
    """Compile with few optimizations: small networks spend their time in the compiler, not in the program."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)


quick_compilation = pytest.fixture(compile_quickly, scope="module", name="quick_compilation")
quick_compilation_of_test = pytest.fixture(compile_quickly, name="quick_compilation_of_test")


@pytest.fixture(autouse=True)
def no_shipped_weights(monkeypatch, tmp_path):
    """Let no test depend on whether weights ship."""
    monkeypatch.setattr("aot_jax.network.SHIPPED", tmp_path / "aost.safetensors")


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
