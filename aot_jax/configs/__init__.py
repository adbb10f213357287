"""The configs that ship, as modules: `from aot_jax.configs import aost`. `python -m aot_jax.configs` lists them.

Their files lie in `configs/` of the repository, and in this package where it is installed: a name that no other program
has for something of its own.
"""

from aot_jax.config import CONFIGS

__path__.append(str(CONFIGS))
