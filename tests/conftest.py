"""Fixtures that several files use."""

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compilation():
    """Compile with few optimizations: small networks spend their time in the compiler, not in the program."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)
