"""Fixtures that several files use."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 4)  # what splits over devices is tested on as many


@pytest.fixture(scope="module")
def quick_compilation():
    """Compile with few optimizations: small networks spend their time in the compiler, not in the program."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    yield
    jax.config.update(name, before)
