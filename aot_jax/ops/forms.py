"""Choice of the form of an operation by the platform that a program is compiled for.

name         CPU                                    GPU and others
attention    head by head, blocks of queries        all scores at once, or fused
fused        not used                               cuDNN's attention, where JAX supports it (16 bits)
windows      strips of a head's tiles one by one    all strips at once
depthwise    shifted products                       XLA's grouped convolution
image        a 3x3 kernel reads a fourth channel    three channels
kernels      gradient of a kernel tap by tap        XLA's gradient
pyramid      taps on the coarse map                 taps on the fine map
patches      patches of several ids only            all patches, as a convolution
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax

NAMES = ("attention", "fused", "windows", "depthwise", "image", "kernels", "pyramid", "patches")
_chosen: dict[str, str] = {}  # "cpu" or "gpu" by name, overrides the platform


def by_platform(name: str, *operands: Any, cpu: Callable, gpu: Callable) -> Any:
    """Call the one of two functions with equal results that is faster on the program's platform."""
    if name in _chosen:
        return (cpu if _chosen[name] == "cpu" else gpu)(*operands)
    if jax.default_backend() == "cpu":  # no other platform is there, and tracing both forms takes longer
        return cpu(*operands)
    return lax.platform_dependent(*operands, cpu=cpu, default=gpu)


@contextlib.contextmanager
def choose(**forms: str) -> Iterator[None]:
    """Use the given forms ("cpu" or "gpu" by name) on every platform, for tests and benchmarks.

    Functions traced before keep their forms: jit a new one inside.

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
    """Return whether JAX supports the fused attention `form` for these operands on this machine."""
    if _chosen.get("fused") == "cpu":
        return False
    try:
        jax.eval_shape(form, *operands)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True
