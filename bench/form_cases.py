"""Cases of every form of `aot_jax/ops/forms.py`, to time it against its alternative."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.pyramid import ConvUp
from aot_jax.ops import attention
from aot_jax.ops.convolution import depthwise_conv, same_conv
from aot_jax.ops.local_attention import attend_tiles
from aot_jax.ops.patches import embed_patches
from aot_jax.typing import Size


def cases_of_forms(frame: Size, dtype: str) -> Iterator[tuple[str, Callable, list]]:
    """Yield each form's name, function and operands, at the sizes that a frame (h, w) has in the network."""
    height, width = (-(-n // 16) + 1 for n in frame)
    random = np.random.default_rng(0)

    def draw(*shape: int) -> jax.Array:
        return jnp.asarray(random.standard_normal(shape, np.float32), dtype)

    q, cells = draw(1, 8, height, width, 32), height * width
    yield "attention", attention.attend, [draw(1, 8, cells, 32) for _ in range(3)]
    frames = [draw(1, 8, 4, cells, 32) for _ in range(2)]
    valid = jnp.array([[True, True, True, False]])
    yield "fused", lambda *x: attention.attend_frames(*x, valid), [draw(1, 8, cells, 32), *frames]
    present, offsets = jnp.ones((1, 1), bool), draw(1, 8, height, width, 15 * 15)
    near = [q, draw(1, 8, 1, height, width, 32), draw(1, 8, 1, height, width, 32), offsets]
    yield "windows", lambda q, k, v, r: attend_tiles(q, k, v, r, None, present, 15), near
    yield "depthwise", depthwise_conv, [draw(1, height, width, 1024), draw(5, 5, 1024).astype(jnp.float32)]
    fine = draw(1, 4 * height, 4 * width, 96)
    yield "depthwise", depthwise_conv, [fine, draw(3, 3, 96).astype(jnp.float32)]
    yield "kernels", same_conv, [draw(1, 2 * height, 2 * width, 128), draw(3, 3, 128, 128)]
    up = ConvUp(128, align_corners=True, dtype=jnp.dtype(dtype))
    held = [draw(3, 3, 256, 128), draw(128)]
    maps = [draw(1, height, width, 256), draw(1, 2 * height - 1, 2 * width - 1, 32), draw(32, 256), draw(256)]
    yield "pyramid", lambda k, b, *maps: up.apply({"params": {"kernel": k, "bias": b}}, *maps), [*held, *maps]
    mask = jnp.asarray(random.integers(0, 11, (1, 16 * height - 15, 16 * width - 15)), jnp.int32)
    yield "patches", lambda kernel: embed_patches(mask, kernel), [draw(17, 17, 11, 256)]
