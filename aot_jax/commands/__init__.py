"""The commands: each parses its flags and makes one call.

They are `track.py`, `eval.py` and `train.py` in the repository, and `aot-track` and the like when installed.
"""

import functools
import importlib
import runpy
from typing import NoReturn

from aot_jax.start import prepare_process, reports_trouble, run


def start(name: str) -> NoReturn:
    """Set up the process, import the command `name` of this folder, run it and exit with its code."""
    prepare_process()
    with reports_trouble():
        command = importlib.import_module(f"aot_jax.commands.{name}")
    run(command.main)


run_track, run_eval, run_train = (functools.partial(start, name) for name in ("track", "eval", "train"))


def run_metrics() -> None:
    """Score two folders of masks: `python -m aot_jax.metrics`."""
    runpy.run_module("aot_jax.metrics", run_name="__main__", alter_sys=True)


def run_convert() -> None:
    """Convert the authors' weights: `python -m aot_jax.convert`."""
    runpy.run_module("aot_jax.convert", run_name="__main__", alter_sys=True)
