"""A small trained network, for tests of behaviour that needs training. See `reference/README.md`."""

import functools
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from aot_jax.config import load_config
from aot_jax.network import Model, make_model

WEIGHTS = Path(__file__).parent / "reference" / "quickstart.npz"


@functools.cache
def quickstart() -> Model:
    """Return the network of configs/quickstart.py as its own run trained it, weights rounded to 16 bits."""
    config = load_config("quickstart")
    with np.load(WEIGHTS) as stored:
        flat = {tuple(name.split("/")): jax.device_put(stored[name].astype(np.float32)) for name in stored.files}
    return Model(make_model(config), unflatten_dict(flat), config)
