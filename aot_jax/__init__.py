"""AOT and AOST in JAX: every object of a video tracked and segmented together in one pass."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aot_jax.io.mask_sets import read_masks
    from aot_jax.network import load_model
    from aot_jax.tracker.tracker import Tracker

__all__ = ["Tracker", "load_model", "read_masks"]
_MODULES = {"Tracker": "aot_jax.tracker.tracker", "load_model": "aot_jax.network", "read_masks": "aot_jax.io.mask_sets"}


def __getattr__(name: str) -> object:
    # Lazy imports: tools that need no network (aot_jax.metrics) start without JAX.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
