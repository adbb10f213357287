"""The parts of a frame's compiled programs: their arithmetic, and their time one by one.

XLA's cost analysis counts the body of a loop once, but on the CPU attention loops over heads, blocks of queries, tiles
and memory frames. `count_flops` counts every iteration in the traced program: matrix products and convolutions exactly
(without taps on padding, like XLA), and one operation for each element of elementwise arithmetic and reductions.
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from aot_jax.preprocess import normalise, resize_cubic, resize_nearest
from aot_jax.propagate import encode, mask_unused, memorize, step
from aot_jax.tracker.objects import resized_labels, split_groups
from aot_jax.tracker.tracker import Tracker
from bench.rulers import Rulers
from bench.video import BenchVideo, memory_frames

REPEATS = 10  # timed runs of a part, for the median
STEP = ("input", "encode", "segment", "labels", "masks", "memorize")  # parts of a whole step
READS_MEMORY = ("segment", "propagate")  # programs with a loop over memory frames

# Primitives counted as one operation for each element of the result.
ELEMENTWISE = {
    "abs", "add", "add_any", "ceil", "clamp", "cos", "div", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor",
    "integer_pow", "log", "log1p", "logistic", "max", "min", "mul", "neg", "pow", "rem", "round", "rsqrt", "sign",
    "sin", "sqrt", "square", "sub", "tan", "tanh",
}  # fmt: skip
# Primitives counted as one operation for each element of the operand.
REDUCTIONS = {f"reduce_{name}" for name in ("max", "min", "prod", "sum")} | {"argmax", "argmin", "cumsum", "cummax"}


def count_flops(program: ClosedJaxpr | Jaxpr, turns: float = 1, platform: str | None = None) -> float:
    """Return the number of floating-point operations of a traced program.

    Args:
        program: the program, as from `jax.jit(f).trace(...).jaxpr`.
        turns: iterations of loops whose length depends on data: memory frames that are attended to one by one, or
            blocks of patches with several ids.
        platform: platform that it runs on, which selects among forms; None: `jax.default_backend()`.
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
            if served is not None:  # a choice by platform, not by data
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
    """Return the index of the first of `branches` that is for one of `platforms`; None is for all."""
    return next(i for i, served in enumerate(branches) if served is None or set(served) & set(platforms))


def _called(eqn: JaxprEqn) -> list[ClosedJaxpr | Jaxpr]:
    """Return the programs that an equation calls, without the rules of custom derivatives."""
    return [value for value in eqn.params.values() if isinstance(value, ClosedJaxpr | Jaxpr)]


def _size(variable: Any) -> int:
    """Return the number of elements of a floating-point variable; 0 for other types."""
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
    inputs = kernel.shape[numbers.rhs_spec[1]]  # input channels of one group
    pairs = 1  # pairs of an output cell and a tap inside the image
    for i, (stride, padding, spread, dilation) in enumerate(
        zip(params["window_strides"], params["padding"], params["lhs_dilation"], params["rhs_dilation"], strict=True)
    ):
        cells = np.arange(out.shape[numbers.out_spec[2 + i]]) * stride - padding[0]
        taps = np.arange(kernel.shape[numbers.rhs_spec[2 + i]]) * dilation
        places = cells[:, None] + taps
        length = image.shape[numbers.lhs_spec[2 + i]]
        pairs *= int(((places >= 0) & (places <= (length - 1) * spread) & (places % spread == 0)).sum())
    return 2 * (batch // params["batch_group_count"]) * features * inputs * pairs


class Parts:
    """Runs programs one by one, each until it has finished.

    Attributes:
        figures: for each program `compile` and `seconds`, its compile and median run time, and `flops`.
    """

    def __init__(self, turns: int, rulers: Rulers) -> None:
        self.figures: dict[str, dict[str, Any]] = {}
        self._turns = turns  # iterations of loops over memory frames
        self._rulers = rulers

    def run(self, name: str, program: Callable, *args: Any, carry: bool = False) -> Any:
        """Compile and time a program; returns its last result.

        With `carry` the first argument is donated, and each run takes the result of the last.
        """
        start = time.perf_counter()
        traced = jax.jit(program, donate_argnums=0 if carry else ()).trace(*args)
        compiled = traced.lower().compile()
        compiling = time.perf_counter() - start
        result = self.time(name, lambda *args: jax.block_until_ready(compiled(*args)), *args, carry=carry)
        flops = count_flops(traced.jaxpr, self._turns if name in READS_MEMORY else 1)
        self.figures[name] |= {"compile": compiling, "flops": flops}
        return result

    def time(self, name: str, program: Callable, *args: Any, carry: bool = False) -> Any:
        """Time a function; returns its last result."""
        self._rulers.measure()
        seconds = []
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            result = program(*args)
            seconds.append(time.perf_counter() - start)
            if carry:
                args = (result, *args[1:])
        self.figures[name] = {"compile": None, "seconds": statistics.median(seconds[1:]), "flops": None}
        return result


def time_parts(tracker: Tracker, video: BenchVideo, rulers: Rulers) -> dict[str, dict[str, Any]]:
    """Time each part of what a tracker of `video` runs for its next frame, and the two parts of `segment`."""
    model, depth, stream, state = tracker.model, tracker.depth, tracker.streams[0], tracker.states[0]
    module, params, aligned = model.module, model.params, model.config.model.align_corners
    size, memory = stream.view.size, jax.tree.map(jnp.copy, state.memory)
    slots, groups, identities = tracker.slots, state.groups, model.config.model.identities
    parts = Parts(memory_frames(tracker), rulers)

    def apply(method: str, *args: Any) -> Any:
        return module.apply({"params": args[0]}, *args[1:], method=method)

    image = parts.run("input", lambda frame: normalise(resize_cubic(frame, size))[None], video.frames[1])
    features = parts.run("encode", functools.partial(encode, module), params, image)
    outputs, _ = parts.run(
        "propagate",
        lambda params, memory, x: apply("propagate", params, x, memory.layers(), None, depth, None),
        params,
        memory,
        features.projected,
    )
    parts.run("decode", functools.partial(apply, "decode"), params, features, outputs)
    logits, frame_kv = parts.run(
        "segment",
        lambda params, memory, features: step(module, params, memory, features, depth=depth),
        params,
        memory,
        features,
    )
    labels = parts.run(
        "labels",
        lambda logits, used: resized_labels(mask_unused(logits, used), video.size, aligned),
        logits,
        slots.used(),
    )
    masks = parts.run("masks", lambda labels: split_groups(resize_nearest(labels, size), groups, identities), labels)
    parts.run(
        "memorize",
        lambda memory, *args: memorize(module, args[0], memory, *args[1:], keep=bool(stream.gap)),
        memory,
        params,
        frame_kv,
        masks,
        np.int32(state.latest.index + 1),
        carry=True,
    )
    parts.time("output", lambda labels: slots.to_ids(labels.copy()), labels)
    return parts.figures
