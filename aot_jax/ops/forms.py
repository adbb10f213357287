"""Which form of a product a program runs: chosen here alone, by the platform that the program is compiled for.

name         CPU                                    GPU and others
attention    blocks of queries, frame by frame      cuDNN's in 16 bits, all scores at once in float32
windows      rows of tiles one by one               all rows at once
depthwise    shifted products                       XLA's grouped convolution
kernels      gradient of a kernel tap by tap        XLA's
pyramid      taps on the coarse map                 on the fine one
patches      patches of several ids only            all, as a convolution
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

NAMES = ("attention", "fused", "windows", "depthwise", "kernels", "pyramid", "patches")
_chosen: dict[str, str] = {}  # names to "cpu" or "gpu", whatever the platform


def by_platform(name: str, *operands: Any, cpu: Callable, gpu: Callable) -> Any:
    """Call one of two functions with equal results, the one that the program's platform runs faster."""
    if name in _chosen:
        return (cpu if _chosen[name] == "cpu" else gpu)(*operands)
    return lax.platform_dependent(*operands, cpu=cpu, default=gpu)


@contextlib.contextmanager
def choose(**forms: str) -> Iterator[None]:
    """Trace with these forms ("cpu" or "gpu" by name) on every platform, to test and to compare them.

    What was traced before keeps its forms: jit a new function inside.

    Raises:
        ValueError: for an unknown name.
    """
    if unknown := forms.keys() - set(NAMES):
        raise ValueError(f"there is no form of {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    before = _chosen.copy()
    _chosen.update(forms)
    try:
        yield
    finally:
        _chosen.clear()
        _chosen.update(before)


def can_fuse(form: Callable, *operands: Any) -> bool:
    """Return whether JAX takes an attention that only some devices have, for such operands on this machine."""
    if _chosen.get("fused") == "cpu":
        return False
    try:
        jax.eval_shape(form, *operands)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True
