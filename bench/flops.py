"""Count a program's arithmetic, with every turn of its loops.

XLA's own cost analysis counts the body of a loop once, and the attentions here loop over blocks of queries, rows of
tiles and memory frames. This counts in the traced program instead: matrix products and convolutions exactly (taps
that fall on padding are left out, as XLA leaves them out), element by element arithmetic and reductions as one each.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

# Arithmetic of floating-point numbers; one operation an element of the result.
ELEMENTWISE = {
    "abs", "add", "add_any", "ceil", "clamp", "cos", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor",
    "integer_pow", "log", "log1p", "logistic", "max", "min", "mul", "neg", "pow", "rem", "round", "rsqrt", "sign",
    "sin", "sqrt", "square", "sub", "tan", "tanh",
}  # fmt: skip
# One operation an element of the operand.
REDUCTIONS = {f"reduce_{name}" for name in ("max", "min", "prod", "sum")} | {"argmax", "argmin", "cumsum", "cummax"}


def count_flops(program: ClosedJaxpr | Jaxpr, turns: float = 1, platform: str | None = None) -> float:
    """Return the floating-point operations of a traced program, as from `jax.jit(f).trace(...).jaxpr`.

    Args:
        program: what to count.
        turns: of loops whose length only the data tell: memory frames that are attended to one by one, or blocks of
            patches with several ids.
        platform: where it runs, as in `jax.default_backend()`; it decides between forms for several platforms.
    """
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    platform = platform or jax.default_backend()
    platforms = {"gpu": ("cuda", "rocm")}.get(platform, (platform,))
    total = 0.0
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name == "cond":
            branches = eqn.params["branches"]
            served = eqn.params.get("branches_platforms")
            if served is not None:  # forms for several platforms, not a choice by data
                branches = branches[_branch(served, platforms) :][:1]
            total += max(count_flops(branch, turns, platform) for branch in branches)
        elif name == "scan":
            total += eqn.params["length"] * count_flops(eqn.params["jaxpr"], turns, platform)
        elif name == "while":
            parts = (eqn.params["body_jaxpr"], eqn.params["cond_jaxpr"])
            total += turns * sum(count_flops(part, turns, platform) for part in parts)
        elif name == "dot_general":
            total += _product(eqn)
        elif name == "conv_general_dilated":
            total += _convolution(eqn)
        elif name in ELEMENTWISE:
            total += _size(eqn.outvars[0])
        elif name in REDUCTIONS:
            total += _size(eqn.invars[0])
        else:  # calls: jit, custom derivatives, rematerialisation
            total += sum(count_flops(part, turns, platform) for part in _called(eqn))
    return total


def _branch(branches: Sequence[Sequence[str] | None], platforms: Sequence[str]) -> int:
    """Return the number of the first of `branches` that serves one of `platforms`; None serves all."""
    return next(i for i, served in enumerate(branches) if served is None or set(served) & set(platforms))


def _called(eqn: JaxprEqn) -> list[ClosedJaxpr | Jaxpr]:
    """Return the programs that an equation calls, once each; the rules of custom derivatives are not among them."""
    return [value for value in eqn.params.values() if isinstance(value, ClosedJaxpr | Jaxpr)]


def _size(variable: Any) -> int:
    """Return the number of elements of a floating-point variable, 0 for another type."""
    aval = variable.aval
    return aval.size if np.issubdtype(aval.dtype, np.floating) or aval.dtype.name == "bfloat16" else 0


def _product(eqn: JaxprEqn) -> int:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    return 2 * eqn.outvars[0].aval.size * int(np.prod([eqn.invars[0].aval.shape[axis] for axis in contracted]))


def _convolution(eqn: JaxprEqn) -> int:
    params, image, kernel = eqn.params, eqn.invars[0].aval, eqn.invars[1].aval
    out = eqn.outvars[0].aval
    numbers = params["dimension_numbers"]
    batch, features = (out.shape[axis] for axis in numbers.out_spec[:2])
    inputs = kernel.shape[numbers.rhs_spec[1]]  # of one group
    pairs = 1  # of an output cell and a tap that falls on the image
    for i, (stride, padding, spread, dilation) in enumerate(
        zip(params["window_strides"], params["padding"], params["lhs_dilation"], params["rhs_dilation"], strict=True)
    ):
        cells = np.arange(out.shape[numbers.out_spec[2 + i]]) * stride - padding[0]
        taps = np.arange(kernel.shape[numbers.rhs_spec[2 + i]]) * dilation
        places = cells[:, None] + taps
        length = image.shape[numbers.lhs_spec[2 + i]]
        pairs *= int(((places >= 0) & (places <= (length - 1) * spread) & (places % spread == 0)).sum())
    return 2 * (batch // params["batch_group_count"]) * features * inputs * pairs
