"""The identity bank's product, patch by patch, equals the convolution."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import normal, value_and_gradients

from aot_jax.ops import forms
from aot_jax.ops.patches import BLOCK, embed_patches


def masks(kind: str, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    if kind == "noise":  # every patch is mixed
        return rng.integers(0, 4, (2, height, width))
    mask = np.zeros((2, height, width), np.int64)
    if kind == "objects":
        mask[0, 10:40, 20:70] = 2
        mask[1, 30:, :33] = 1
        mask[1, :18, 50:] = 255
        mask[1, 40:60, 40:] = 4  # an id above the last identity
    return mask


@pytest.mark.parametrize(("size", "height", "width"), [(17, 161, 129), (16, 160, 128), (17, 17, 1), (16, 16, 32)])
@pytest.mark.parametrize("kind", ["noise", "objects", "background"])
def test_patches_equal_the_convolution(kind, size, height, width):
    mask = jnp.asarray(masks(kind, height, width))
    kernel = normal(size, size, 4, 5)
    with forms.choose(patches="gpu"):  # the convolution
        want, want_gradient = value_and_gradients(lambda kernel: embed_patches(mask, kernel), kernel)
    got, gradient = value_and_gradients(lambda kernel: embed_patches(mask, kernel), kernel)
    np.testing.assert_allclose(got, want, atol=2e-5)
    np.testing.assert_allclose(gradient, want_gradient, atol=2e-5)
    assert np.abs(want).max() > 1
    if kind == "noise" and height > 100:
        assert want[..., 0].size > BLOCK  # more than one block, the last one not full
        assert want[..., 0].size % BLOCK
