"""The one error of this package, which is that of listing raw data too; command lines print it."""

from aot_jax.io.datasets import DataError

__all__ = ["DataError"]
