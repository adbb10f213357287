"""How a command starts: huge pages are enabled where available, compiled programs are cached."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from aot_jax import start
from aot_jax.start import compiled
from aot_jax.start.compiled import Compilations
from aot_jax.start.huge_pages import huge_page_tunables

ROOT = Path(__file__).resolve().parents[1]
MADVISE = "always [madvise] never"


@pytest.mark.parametrize(
    ("environment", "libc", "mode", "expected"),
    [
        ({}, ("glibc", "2.36"), MADVISE, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=9"}, ("glibc", "2.36"), MADVISE, "glibc.rtld.nns=9:glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, ("glibc", "2.36"), MADVISE, None),  # the user's own
        ({}, ("glibc", "2.36"), "[always] madvise never", None),
        ({}, ("glibc", "2.36"), "always madvise [never]", None),
        ({}, ("glibc", "2.9"), MADVISE, None),
        ({}, ("", ""), MADVISE, None),  # musl, macOS
    ],
)
def test_huge_pages_are_asked_for_where_they_can_be_had(environment, libc, mode, expected):
    assert huge_page_tunables(environment, libc, mode) == expected


def test_programs_are_freed_when_they_hold_too_many_memory_maps(tmp_path, monkeypatch):
    traced = []
    twice = jax.jit(lambda x: traced.append(x) or 2 * x)
    monkeypatch.setattr(compiled, "MAPS", tmp_path / "maps")
    monkeypatch.setattr(compiled, "LIMIT", tmp_path / "max_map_count")
    assert twice(1) == 2
    assert not compiled.free_programs()  # not on Linux
    compiled.LIMIT.write_text("10\n")
    compiled.MAPS.write_text("a map\n" * 5)
    assert not compiled.free_programs()
    assert twice(1) == 2
    assert len(traced) == 1
    compiled.MAPS.write_text("a map\n" * 6)
    assert compiled.free_programs()
    assert twice(1) == 2
    assert len(traced) == 2


def test_a_process_starts_again_once_with_its_own_arguments_and_keeps_compiled_programs(tmp_path):
    mode = tmp_path / "enabled"
    mode.write_text(MADVISE)
    script = tmp_path / "command.py"
    script.write_text(
        "import os, platform, sys\n"
        "from pathlib import Path\n"
        "from aot_jax import start\n"
        "from aot_jax.start import huge_pages\n"
        f"huge_pages.KERNEL_MODE = Path({str(mode)!r})\n"
        "platform.libc_ver = lambda: ('glibc', '2.36')\n"
        "print('start', flush=True)\n"
        "start.prepare_process()\n"
        "assert 'jax' not in sys.modules\n"
        "import jax\n"
        "print(os.environ['GLIBC_TUNABLES'], sys.argv[1:], sys.flags.dev_mode, jax.config.jax_compilation_cache_dir)\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GLIBC", "JAX"))}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-X", "dev", "-W", "ignore", script, "a b", "--flag"]
    lines = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[:2] == ["start", "start"]
    tunables, rest = lines[2].split(" ", 1)
    assert tunables == "glibc.malloc.hugetlb=1"
    assert rest.startswith(f"['a b', '--flag'] True {tmp_path / 'aot-jax' / 'compiled'}")
    assert len(lines) == 3


def test_programs_that_were_cut_off_are_removed_from_our_own_folder_only(tmp_path, monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE"):
        monkeypatch.setenv(name, "")  # monkeypatch restores it afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    start.keep_compiled()
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert folder.is_relative_to(tmp_path / "aot-jax" / "compiled")
    names = ["half-cache", "whole-cache", "whole-atime"]

    def leave_behind():
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_bytes(b"x")

    leave_behind()
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    start.keep_compiled()
    assert sorted(path.name for path in folder.glob("*-*")) == names[2:] + names[1:2]
    leave_behind()
    monkeypatch.delenv("JAX_COMPILATION_CACHE_MAX_SIZE")
    start.keep_compiled()  # the variable is still set, as if by the user
    assert len(list(folder.glob("*-*"))) == 3
    assert "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ


@pytest.mark.parametrize("loaded", [False, True])
def test_ctrl_c_says_nothing_until_all_is_loaded(tmp_path, loaded):
    script = tmp_path / "command.py"
    script.write_text(
        "import os, signal, sys\n"
        "from aot_jax import start\n"
        "start.use_huge_pages = lambda: None\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background processes inherit an ignored SIGINT
        "start.prepare_process()\n"
        "def main():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        return 130\n"
        f"{'start.run(main)' if loaded else 'sys.exit(main())'}\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert process.returncode == (130 if loaded else -signal.SIGINT)
    assert process.stderr == ""


def no_device(*_):
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."), "out of memory (RESOURCE_EXHAUSTED: O"),
        (MemoryError("Unable to allocate 9 bytes"), "out of memory (Unable to allocate 9 bytes): track with a smaller"),
        (
            RuntimeError("INTERNAL: CUDA driver version is insufficient\nat ..."),
            "CUDA does not work here (INTERNAL: CU",
        ),
        (RuntimeError("FAILED_PRECONDITION: DNN library initialization failed."), "CUDA does not work here (FAILED_"),
        (RuntimeError("jaxlib version 0.9 is incompatible with jax version 0.10"), "CUDA does not work here (jaxlib"),
        (ModuleNotFoundError("No module named 'optax'", name="optax.losses"), "optax.losses is not installed: pip i"),
        (ModuleNotFoundError("No module named 'aot_jax.x'", name="aot_jax.x"), None),  # a bug in this project
        (RuntimeError("a fault"), None),
        (AssertionError(), None),
        (ValueError("RESOURCE_EXHAUSTED: disk"), None),
    ],
)
def test_trouble_of_the_machine_has_a_remedy(error, says):
    found = start.machine_trouble(error)
    assert found is None if says is None else found.startswith(says)
    assert found is None or "\n" not in found


@pytest.mark.parametrize(
    ("platforms", "says", "remedy"),
    [
        ("cuda", "JAX finds no backend cuda on this machine: unset JAX_PLATFORMS", "'jax[cuda13]' or 'jax[cuda12]'"),
        ("tpu", "JAX finds no backend tpu on this machine: unset JAX_PLATFORMS", "pip install 'jax[tpu]'"),
        ("rocm", "JAX finds no backend rocm on this machine: unset JAX_PLATFORMS", "or install it"),
        (None, "JAX finds no device: JAX_PLATFORMS=cpu runs without one", "docs/troubleshooting.md"),
    ],
)
def test_an_error_without_a_word_is_explained_by_asking_jax(monkeypatch, platforms, says, remedy):
    monkeypatch.setattr(jax, "devices", no_device)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    if platforms:
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
    found = start.machine_trouble(AssertionError())
    assert found.startswith(says)
    assert found.endswith(remedy)
    assert start.machine_trouble(ValueError("a fault")) is None  # not a JAX error: other hosts may still be waiting


def test_a_backend_that_is_not_there_is_one_line(tmp_path):
    script = tmp_path / "command.py"
    script.write_text("from aot_jax import start\nimport jax\nstart.run(lambda: int(jax.numpy.zeros(3).sum()))\n")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "JAX_PLATFORMS": "abacus"}
    process = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: JAX finds no backend abacus on this machine (Unable to initialize backend 'abacus'")


def test_tensorflow_is_loaded_without_its_greetings_and_with_all_else_it_says(tmp_path):
    says = "oneDNN custom operations are on. You may\\nE: no GPU for you\\n"
    (tmp_path / "tensorflow.py").write_text(f"import os\nos.write(2, b'{says}')\nversion = 3\n")
    script = tmp_path / "command.py"
    script.write_text(
        "import os\n"
        "from aot_jax.start.quiet_tensorflow import load_tensorflow\n"
        "assert load_tensorflow().version == load_tensorflow().version == 3\n"
        "os.write(2, b'afterwards')\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    process = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "E: no GPU for you\nafterwards")


def test_a_tensorflow_that_does_not_start_is_an_import_error_with_what_it_says(tmp_path):
    (tmp_path / "tensorflow.py").write_text("import os\nos.write(2, b'no AVX\\n')\nraise ImportError('broken')\n")
    script = tmp_path / "command.py"
    script.write_text("from aot_jax.start.quiet_tensorflow import load_tensorflow\nload_tensorflow()\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    process = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert process.stderr.startswith("no AVX\nTraceback")
    assert process.stderr.endswith("ImportError: broken\n")


def test_compilations_of_a_thread_are_counted_by_name():
    @jax.jit
    def double(x):
        return 2 * x

    def compile_for(size):
        double(np.ones(size, np.float32)).block_until_ready()

    with Compilations() as outer:
        for size in (3, 3):
            compile_for(size)
        with Compilations() as inner, ThreadPoolExecutor(1) as pool:
            compile_for(4)
            pool.submit(compile_for, 5).result()
    compile_for(6)
    assert (outer.names["double"], inner.names["double"]) == (2, 1)
    assert outer.seconds > inner.seconds > 0


def test_a_reader_that_ends_early_is_no_error():
    program = (
        "from aot_jax.start import reports_errors\n@reports_errors\ndef main():\n  while True: print('line')\nmain()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_example_program_starts_from_any_folder(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "track_folder.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.startswith("Track objects through a folder of images")
