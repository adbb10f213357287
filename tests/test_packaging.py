"""The installed package: its commands, its configs beside a program's own, its requirements."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from aot_jax.config import CONFIGS, config_names, load_config

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize(("command", "target"), PROJECT["project"]["scripts"].items())
def test_commands_can_be_called(command, target):
    module, function = target.split(":")
    assert callable(getattr(importlib.import_module(module), function)), command


def test_a_program_may_have_a_package_configs_of_its_own(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("mine = 1\n")
    program = (
        f"import sys\nsys.path.append({str(ROOT)!r})\nimport configs\nfrom aot_jax.config import load_config\n"
        f"names = [load_config(name).name for name in {config_names()}]\nprint(len(names), configs.mine)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (process.stdout.split(), process.stderr) == ([str(len(config_names())), "1"], "")


def test_configs_are_modules_of_the_package():
    module = importlib.import_module("aot_jax.configs.quickstart")
    assert Path(module.__file__).parent == CONFIGS
    assert module.get_config().name == "quickstart"


def test_a_config_that_ships_has_the_name_that_it_has_in_the_repository(tmp_path, monkeypatch):
    (tmp_path / "files").mkdir()  # as in an installed package
    (tmp_path / "files" / "mine.py").write_text("from aot_jax.configs.quickstart import get_config\n")
    monkeypatch.setattr("aot_jax.config.CONFIGS", tmp_path / "files")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "configs/mine.py"):
        assert load_config(name).name == "quickstart"


def requirements(name):
    lines = (ROOT / name).read_text().splitlines()
    return {re.split("[<>=;]", line)[0] for line in lines if line and not line.startswith(("#", "-r"))}


def test_tracking_needs_nothing_of_training():
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"]["file"] == ["requirements-track.txt"]
    track, train = requirements("requirements-track.txt"), requirements("requirements-train.txt")
    assert not track & train
    assert {"tensorflow", "tensorflow-datasets", "array-record", "tensorboard"} <= train
    assert (ROOT / "requirements.txt").read_text().split()[-4:] == [
        *("-r", "requirements-track.txt"),
        *("-r", "requirements-train.txt"),
    ]
    program = "import sys\nimport aot_jax.commands.track, aot_jax.commands.eval\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tensorflow_datasets", "array_record", "tensorboard"} & set(loaded.stdout.split())


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_wheel_alone_serves_any_folder(tmp_path):
    pytest.importorskip("setuptools", "77", reason="builds the wheel")
    source, site, elsewhere = (tmp_path / name for name in ("source", "site", "elsewhere"))
    elsewhere.mkdir()
    for name in ("aot_jax", "data_pipeline", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", *ROOT.glob("requirements*.txt")):
        shutil.copy(ROOT / name, source)
    build = "from setuptools.build_meta import build_wheel\nbuild_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {"aot_jax", "data_pipeline"}
    assert files(site / "aot_jax" / "configs" / "files") == files(source / "configs")
    for name in ("aot_jax", "data_pipeline"):
        assert files(source / name) <= files(site / name)
    program = (
        f"import sys\nsys.path.insert(0, {str(site)!r})\n"
        "import aot_jax.commands.eval, aot_jax.commands.track\n"
        "from aot_jax.config import config_names, load_config\n"
        "from aot_jax.configs import aott\n"
        "from aot_jax.weights import SHIPPED\n"
        "print(aot_jax.__file__, len(config_names()), load_config('configs/aott.py').name, SHIPPED.is_file())\n"
    )
    process = subprocess.run([sys.executable, "-I", "-c", program], cwd=elsewhere, capture_output=True, text=True)
    file = str(site / "aot_jax" / "__init__.py")
    assert (process.stdout.split(), process.stderr) == ([file, str(len(config_names())), "aott", "True"], "")
