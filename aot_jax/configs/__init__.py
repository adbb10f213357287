"""The configs that ship, as modules: `from aot_jax.configs import aost`. `python -m aot_jax.configs` lists them.

The files are in `configs/` of the repository; an installed package holds them itself, as a top-level `configs` could
clash with another package.
"""

from aot_jax.config import CONFIGS

__path__.append(str(CONFIGS))
