"""The patch-wise identity bank's product: one-hot patches times a kernel (paper, Eq. 2).

Masks are mostly uniform: where all pixels of a patch have one id, the product is the sum of the kernel over the patch,
one row of a small table. On the CPU only the other patches are multiplied, block by block.
"""

import jax
import jax.numpy as jnp
from jax import lax

from aot_jax.ops.convolution import convolve
from aot_jax.ops.forms import by_platform
from aot_jax.typing import Array

STRIDE = 16  # pixels from patch to patch
BLOCK = 128  # patches in one product


def embed_patches(mask: Array, kernel: Array) -> Array:
    """Convolve a one-hot mask with a kernel of one patch, at stride 16.

    Args:
        mask: (b, h, w) integers; values outside 0 .. m - 1 add nothing.
        kernel: (k, k, m, c); k is 17 (patches centred on every 16th pixel of sides 16 n + 1) or 16 (side by side).

    Returns:
        (b, h', w', c); h' is n + 1 or n.
    """
    return by_platform("patches", mask.astype(jnp.int32), kernel, cpu=_by_patch, gpu=_by_convolution)


def _by_convolution(mask: Array, kernel: Array) -> Array:
    pad = kernel.shape[0] // 2 if kernel.shape[0] % 2 else 0
    return convolve(jax.nn.one_hot(mask, kernel.shape[2], dtype=kernel.dtype), kernel, STRIDE, 1, pad)


@jax.custom_vjp
def _by_patch(mask: Array, kernel: Array) -> Array:
    patches, grid = _cut(mask, kernel.shape[0])
    table = kernel.sum(axis=(0, 1))
    mixed, first = _find_mixed(patches, table.shape[0])
    rows = jnp.concatenate([table, jnp.zeros_like(table[:1])])[first]
    flat = kernel.reshape(-1, table.shape[1])

    def multiply(block: Array, rows: Array) -> Array:
        chosen, hot = _one_hot_block(patches, mixed, block, kernel)
        return rows.at[chosen].set(hot @ flat, mode="drop")

    return lax.fori_loop(0, _blocks(mixed, patches), multiply, rows).reshape(*grid, -1)


def _by_patch_backward(saved: tuple[Array, Array], grad: Array) -> tuple[None, Array]:
    mask, kernel = saved
    patches, _ = _cut(mask, kernel.shape[0])
    mixed, first = _find_mixed(patches, kernel.shape[2])
    grad = grad.reshape(-1, grad.shape[-1])
    is_mixed = jnp.zeros(len(patches), bool).at[mixed].set(True, mode="drop")
    alike = jax.ops.segment_sum(jnp.where(is_mixed[:, None], 0, grad), first, kernel.shape[2] + 1)[:-1]

    def add(block: Array, total: Array) -> Array:
        chosen, hot = _one_hot_block(patches, mixed, block, kernel)
        return total + hot.T @ grad.at[chosen].get(mode="fill", fill_value=0)

    flat = jnp.zeros((kernel.size // kernel.shape[3], kernel.shape[3]), kernel.dtype)
    flat = lax.fori_loop(0, _blocks(mixed, patches), add, flat)
    return None, flat.reshape(kernel.shape) + alike


_by_patch.defvjp(lambda mask, kernel: (_by_patch(mask, kernel), (mask, kernel)), _by_patch_backward)


def _cut(mask: Array, size: int) -> tuple[Array, tuple[int, int, int]]:
    """Cut a mask (b, h, w) into patches (p, size * size), padded with -1; return the grid (b, h', w') too."""
    batch, height, width = mask.shape
    pad = STRIDE // 2 if size > STRIDE else 0
    rows, columns = height // STRIDE + (size > STRIDE), width // STRIDE + (size > STRIDE)
    last = ((rows + 1) * STRIDE - height - pad, (columns + 1) * STRIDE - width - pad)
    mask = jnp.pad(mask, ((0, 0), (pad, last[0]), (pad, last[1])), constant_values=-1)
    cells = mask.reshape(batch, rows + 1, STRIDE, columns + 1, STRIDE)
    if size > STRIDE:  # a patch of 17 also holds the first row and column of the next cells
        cells = jnp.concatenate([cells, jnp.roll(cells[:, :, :1], -1, axis=1)], axis=2)
        cells = jnp.concatenate([cells, jnp.roll(cells[..., :1], -1, axis=3)], axis=4)
    cells = cells[:, :-1, :, :-1]
    return cells.transpose(0, 1, 3, 2, 4).reshape(-1, size * size), (batch, rows, columns)


def _find_mixed(patches: Array, identities: int) -> tuple[Array, Array]:
    """Return the indices (p',) of patches that hold several ids, padded with p, and each patch's first id (p,).

    p' is p rounded up to whole blocks. Ids that add nothing are returned as `identities`.
    """
    count = len(patches)
    first = patches[:, 0]
    uniform = (patches == first[:, None]).all(axis=1)
    order = jnp.argsort(uniform, stable=True)
    mixed = jnp.where(jnp.arange(count) < (~uniform).sum(), order, count)
    mixed = jnp.pad(mixed, (0, -count % BLOCK), constant_values=count)
    return mixed, jnp.where((first >= 0) & (first < identities), first, identities)


def _blocks(mixed: Array, patches: Array) -> Array:
    """Return the number of blocks that hold mixed patches."""
    return -(-(mixed < len(patches)).sum() // BLOCK)


def _one_hot_block(patches: Array, mixed: Array, block: Array, kernel: Array) -> tuple[Array, Array]:
    """Return the indices of a block of mixed patches, (BLOCK,), and these patches one-hot, (BLOCK, k * k * m)."""
    chosen = lax.dynamic_slice_in_dim(mixed, block * BLOCK, BLOCK)
    hot = jax.nn.one_hot(patches[chosen], kernel.shape[2], dtype=kernel.dtype)
    return chosen, hot.reshape(BLOCK, -1)
