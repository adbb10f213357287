"""The unit of time of the benchmarks, and the rate of matrix products that gives their floors.

Times on a shared machine are noisy, and machines differ. So times are also given in units: one unit is the time of one
2048 x 2048 x 2048 float32 matrix product in JAX, measured before, during and after the same run.
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

SIDE = 2048  # rows and columns of the unit's matrices
LARGE_SIDE = 8192  # rows and columns of the matrices for an accelerator's rate: smaller ones do not fill it
CHAIN = 20  # products in one measurement on an accelerator, where one takes less time than synchronising


class Product:
    """Measures the time of one matrix product, many times during a run.

    Args:
        side: rows and columns of the matrices; None: the unit's.
        dtype: dtype of the matrices.
    """

    def __init__(self, side: int | None = None, dtype: jnp.dtype = jnp.float32) -> None:
        self.side = side = side or SIDE
        self.seconds: list[float] = []
        self._chain = 1 if jax.default_backend() == "cpu" else CHAIN
        self._product = jax.jit(jnp.matmul)
        rng = np.random.default_rng(0)
        left, right = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        # Scaled so that values neither grow nor vanish in a chain of products.
        self._left, self._right = jnp.asarray(left, dtype), jnp.asarray(right / side**0.5, dtype)
        for _ in range(2):
            jax.block_until_ready(self._product(self._left, self._right))

    def measure(self) -> None:
        """Take one more measurement."""
        start = time.perf_counter()
        x = self._left
        for _ in range(self._chain):
            x = self._product(x, self._right)
        jax.block_until_ready(x)
        self.seconds.append((time.perf_counter() - start) / self._chain)

    @property
    def median(self) -> float:
        """Return the median of the measurements, in seconds."""
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Return multiplications and additions a second at the median."""
        return 2 * self.side**3 / self.median


class Rulers:
    """The unit, and the product whose rate gives the floors: the same one on the CPU in float32, else another one."""

    def __init__(self, dtype: jnp.dtype = jnp.float32) -> None:
        self.unit = Product()
        accelerator = jax.default_backend() != "cpu"
        same = jnp.dtype(dtype) == jnp.float32 and not accelerator
        self.matrix = self.unit if same else Product(LARGE_SIDE if accelerator else SIDE, dtype)
        self._dtype = jnp.dtype(dtype).name

    def measure(self) -> None:
        """Take one more measurement of each."""
        self.unit.measure()
        if self.matrix is not self.unit:
            self.matrix.measure()

    def units(self, seconds: float) -> float:
        """Return a time in units."""
        return seconds / self.unit.median

    def describe(self) -> str:
        """Return a line with the unit's median, its range and the matrix rate."""
        unit = self.unit
        text = (
            f"unit: one {SIDE}^3 float32 matrix product, {1e3 * unit.median:.4g} ms (median of {len(unit.seconds)}, "
            f"{1e3 * min(unit.seconds):.4g} - {1e3 * max(unit.seconds):.4g}), {unit.rate / 1e9:,.0f} GFLOP/s"
        )
        if self.matrix is not unit:
            text += f"; {self._dtype} at {self.matrix.side}^3: {self.matrix.rate / 1e9:,.0f} GFLOP/s"
        return text

    def record(self) -> dict:
        """Return the same for JSON, in seconds and FLOP/s."""
        return {"unit_seconds": self.unit.seconds, "unit": self.unit.median, "matrix_rate": self.matrix.rate}
