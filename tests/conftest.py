"""Fixtures shared by several test files."""

import gc
import importlib.metadata
import os

os.environ.setdefault(
    "XLA_FLAGS",
    # Seconds until XLA ends a process whose devices wait for each other; the default, 40, is too short if it is busy.
    "--xla_cpu_collective_call_terminate_timeout_seconds=1200"
    # These halve the time of compilation. Other versions may not know the flags; an unknown flag ends the process.
    + " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)

# Small networks take longer to compile than to run: compile with few optimizations, also in processes of the tests.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest
import tiny
from jax.experimental.compilation_cache import compilation_cache
from xdist.scheduler import LoadFileScheduling

from aot_jax.start.compiled import Compilations, free_programs
from aot_jax.training import optim

jax.config.update("jax_num_cpu_devices", 4)  # for tests of several devices
gc.set_threshold(50_000)  # tracing makes millions of objects: searched every 700 for garbage, they take 4% of all time


LONGEST = ("test_train_end_to_end.py", "test_parity.py", "test_train_step.py")  # files that run first
SPLIT = ("test_parity.py",)  # files whose tests may run in different processes, those of one parameter in one


def pytest_collection_modifyitems(items):
    """Run files with slow tests first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.name not in LONGEST, item.path not in slow))


class FileByFile(LoadFileScheduling):
    """Keep the tests of a file in one process, as some continue from the one before, and many share fixtures."""

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return file + nodeid.partition("[")[2] if file.endswith(SPLIT) else file


def pytest_xdist_make_scheduler(config, log):
    return FileByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def kept_programs(pytestconfig):
    """Cache compiled programs, for all of pytest's processes and later runs: many tests build the same networks."""
    jax.config.update("jax_compilation_cache_dir", str(pytestconfig.cache.mkdir("compiled")))
    # Small programs are not cached: with a size limit, JAX reads the times of all entries whenever it writes one.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 2)
    # Commands that tests start keep theirs apart, as one that is killed may leave half a program.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(pytestconfig.cache.mkdir("compiled_by_commands"))
    jax.config.update("jax_compilation_cache_max_size", 2 << 30)  # bytes; a size limit turns on locking
    compilation_cache.reset_cache()  # settings are read at the first compilation, which may have been during an import


@pytest.fixture(autouse=True)
def freed_programs():
    """Free the compiled programs of earlier tests, as too many of them would crash the process."""
    with Compilations() as made:
        yield
    if made.count:
        free_programs(share=0.3)


@pytest.fixture
def optimized():
    """Compile with all optimizations, for a test that would run longer than it compiles."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(autouse=True)
def no_shipped_weights(monkeypatch, tmp_path):
    """Hide the weights that ship, so that no test depends on them."""
    monkeypatch.setattr("aot_jax.network.SHIPPED", tmp_path / "aost.safetensors")


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Train the tests' encoder like others, with frozen first stages and batch norm."""
    monkeypatch.setitem(optim.FROZEN, "tiny", [tiny.FROZEN])
    monkeypatch.setattr(optim, "BATCH_NORM", r"^encoder/conv0/")


def pytest_terminal_summary(terminalreporter):
    """Report how many of the authors' cases were run."""
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
