"""The error that this package raises for bad data, shared with `aot_jax.io.datasets`."""

from aot_jax.io.datasets import DataError

__all__ = ["DataError"]
