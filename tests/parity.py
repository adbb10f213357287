"""The folder of parity cases, and the makers of their weights and clips. Used by the tests that run such cases."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from aot_jax.convert import release_tensors

FOLDER = Path(os.environ.get("AOT_PARITY_DIR") or Path(__file__).resolve().parents[2] / "shared" / "parity")
CONFIGS = {
    "r50_aotl": "aotl_r50",
    "swinb_aotl": "aotl_swinb",
    "r50_aotv2l": "aotv2l_r50",
    "swinb_aotv2l": "aotv2l_swinb",
    "r50_aost": "aost_r50",
    "swinb_aost": "aost_swinb",
    "aost_share": "aost_shared",
}


def stems(prefix: str = "") -> list[str]:
    """Names of the cases whose file begins with `prefix`."""
    return sorted(path.stem for path in FOLDER.glob(f"{prefix}*.json"))


def config_name(case: dict) -> str:
    return CONFIGS.get(case["model"], case["model"])


def load(stem: str) -> tuple[dict, dict[str, np.ndarray]]:
    case = json.loads((FOLDER / f"{stem}.json").read_text())
    arrays = FOLDER / f"{stem}.npz"
    return case, dict(np.load(arrays)) if arrays.is_file() else {}


def makers():
    """Return the module that makes weights and clips, from the folder of cases."""
    path = FOLDER / "cases.py"
    if not path.is_file():
        pytest.skip(f"no parity cases in {FOLDER}")
    spec = importlib.util.spec_from_file_location("parity_cases", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(config) -> dict[str, np.ndarray]:
    """Return a state dict for every tensor of a config's network, as the authors' code would hold it."""
    weight = makers().weight
    return {name: weight(name, tensor.shape) for name, tensor in release_tensors(config).items()}
