"""AOT and AOST in JAX: every object of a video tracked and segmented together in one pass."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aot_jax.io.mask_sets import read_masks
    from aot_jax.network import load_model
    from aot_jax.tracker.tracker import Tracker

__all__ = ["Tracker", "load_model", "read_masks"]


def __getattr__(name: str) -> object:
    # Lazy imports: tools that need no network (aot_jax.metrics) start without JAX.
    if name == "load_model":
        from aot_jax.network import load_model

        return load_model
    if name == "read_masks":
        from aot_jax.io.mask_sets import read_masks

        return read_masks
    if name == "Tracker":
        from aot_jax.tracker.tracker import Tracker

        return Tracker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
