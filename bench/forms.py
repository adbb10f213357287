"""The part `forms` of bench/accelerator.py: every form of `aot_jax/ops/forms.py`, timed against its alternative."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.pyramid import ConvUp
from aot_jax.ops import attention
from aot_jax.ops.convolution import depthwise_conv, same_conv, strided_conv
from aot_jax.ops.forms import choose
from aot_jax.ops.local_attention import Relative, attend_tiles
from aot_jax.ops.patches import embed_patches
from aot_jax.preprocess import inference_size
from aot_jax.typing import Size
from bench.accelerator import Part

DTYPES = ("bfloat16", "float32")
REPEATS = 20  # timed runs of a program, for the median


def cases_of_forms(frame: Size, dtype: str) -> Iterator[tuple[str, Callable, list]]:
    """Yield each form's name, function and operands, at the sizes that a frame (h, w) has in the network."""
    height, width = (side // 16 + 1 for side in inference_size(*frame))
    random = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(random.standard_normal(shape, np.float32), dtype)

    q, cells = draw(1, 8, height, width, 32), height * width
    yield "attention", attention.attend, [draw(1, 8, cells, 32) for _ in range(3)]
    frames = [draw(1, 8, 4, cells, 32) for _ in range(2)]
    valid = jnp.array([[True, True, True, False]])
    yield "fused", lambda *x: attention.attend_frames(*x, valid), [draw(1, 8, cells, 32), *frames]
    present, offsets = jnp.ones((1, 1), bool), 15 * 15
    near = [q, draw(1, 8, 1, height, width, 32), draw(1, 8, 1, height, width, 32)]
    near += [draw(8, offsets, 32), draw(8, offsets), draw(8, offsets, 32)]
    yield "windows", lambda q, k, v, *added: attend_tiles(q, k, v, Relative(*added), present, 15), near
    yield "depthwise", depthwise_conv, [draw(1, height, width, 1024), draw(5, 5, 1024).astype(jnp.float32)]
    fine = draw(1, 4 * height, 4 * width, 96)
    yield "depthwise", depthwise_conv, [fine, draw(3, 3, 96).astype(jnp.float32)]
    image = draw(1, 16 * height - 15, 16 * width - 15, 3)
    yield "image", lambda x, kernel: strided_conv(x, kernel, 2, 1, 1), [image, draw(3, 3, 3, 32)]
    yield "kernels", same_conv, [draw(1, 2 * height, 2 * width, 128), draw(3, 3, 128, 128)]
    up = ConvUp(128, align_corners=True, dtype=jnp.dtype(dtype))
    held = [draw(3, 3, 256, 128), draw(128)]
    maps = [draw(1, height, width, 256), draw(1, 2 * height - 1, 2 * width - 1, 32), draw(32, 256), draw(256)]
    yield "pyramid", lambda k, b, *maps: up.apply({"params": {"kernel": k, "bias": b}}, *maps), [*held, *maps]
    mask = jnp.asarray(random.integers(0, 11, (1, 16 * height - 15, 16 * width - 15)), jnp.int32)
    yield "patches", lambda kernel: embed_patches(mask, kernel), [draw(17, 17, 11, 256)]


def gradients(form: Callable) -> Callable:
    """Return a function for the gradients of the sum of a form's squares.

    Those of the plain sum are partly constant, and XLA would compute that part while it compiles.
    """

    def run(*operands: Any) -> Any:
        every = tuple(range(len(operands)))
        return jax.grad(lambda *x: jnp.square(form(*x).astype(jnp.float32)).sum(), every)(*operands)

    return run


def forms(part: Part) -> None:
    """Record the time of each form and of its alternative, forward and with gradients."""
    for dtype, kind in itertools.product(DTYPES, ("forward", "gradients")):
        time_forms(part, dtype, kind)


def time_forms(part: Part, dtype: str, kind: str) -> None:
    """Record the times of all forms in a dtype, forward or with gradients."""
    named_forms = {
        f"{name} {i}": (name, form, operands)
        for i, (name, form, operands) in enumerate(cases_of_forms(part.sizes.frame, dtype))
    }
    cases = [
        {"form": form, "dtype": dtype, "kind": kind, "form_of": platform}
        for form, platform in itertools.product(named_forms, ("gpu", "cpu"))
    ]

    def trace(case: dict) -> Any:
        name, form, operands = named_forms[case["form"]]
        run = gradients(form) if kind == "gradients" else form
        with choose(**{name: case["form_of"]}):
            return jax.jit(lambda *x: run(*x)).trace(*operands)

    traced = list(part.compile(trace, cases, workers=1))  # the choice holds for all threads
    programs = {id(case): program for case, program in traced}
    for case, program in part.compile(lambda x: programs[id(x)].lower().compile(), [case for case, _ in traced]):
        if part.left < 0:
            return
        part.measure(case, time_program, program, *named_forms[case["form"]][2])


def time_program(run: Callable[..., Any], *operands: Any) -> dict[str, float]:
    """Return the median time of a program, `ms`, until its result is ready."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        jax.block_until_ready(run(*operands))
        seconds.append(time.perf_counter() - start)
    return {"ms": 1e3 * statistics.median(seconds[1:])}
