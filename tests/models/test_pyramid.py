"""A step up the decoder's pyramid: the form for the CPU equals resizing, adding and convolving."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import normal, value_and_gradients

from aot_jax.models import pyramid
from aot_jax.models.layers import resize_bilinear
from aot_jax.models.pyramid import ConvUp, add_shared, conv_doubled
from aot_jax.ops.convolution import convolve

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(3, 5), (1, 4), (1, 1)])
def test_taps_on_the_coarse_map_equal_the_convolution_of_the_fine_one(size, align_corners):
    x, kernel = normal(2, *size, 4), normal(3, 3, 4, 6, seed=1)
    twice = [2 * n - align_corners for n in size]

    def plain(x, kernel):
        return convolve(resize_bilinear(x, twice, align_corners), kernel, 1, 1, 1)

    want = value_and_gradients(plain, x, kernel)
    got = value_and_gradients(lambda x, kernel: conv_doubled(x, kernel, align_corners), x, kernel)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@pytest.mark.parametrize(
    ("fine_size", "channels", "samples"),
    [
        ((5, 9), 3, 1),  # fewer channels than the coarse map: matrix and kernel multiplied first
        ((5, 9), 8, 2),  # more channels, but shared by three samples each
        ((5, 9), 8, 6),  # not shared: the plain form
        ((4, 9), 3, 1),  # not twice the size: the plain form
    ],
)
def test_a_step_up_adds_the_finer_map_and_convolves(monkeypatch, fine_size, channels, samples):
    monkeypatch.setattr(pyramid, "WORTH", 0)
    x, fine = normal(6, 3, 5, 4), normal(samples, *fine_size, channels, seed=1)
    adapter, adapter_bias = normal(channels, 4, seed=2), normal(4, seed=3)
    module = ConvUp(6, True)
    params = {"kernel": normal(3, 3, 4, 6, seed=4), "bias": normal(6, seed=5)}

    def plain(params, fine, adapter, adapter_bias):
        shortcut = jnp.tile(fine @ adapter + adapter_bias, (6 // samples, 1, 1, 1))
        total = resize_bilinear(x, fine_size, True) + shortcut
        return convolve(total, params["kernel"], 1, 1, 1) + params["bias"]

    def ours(params, *args):
        return module.apply({"params": params}, x, *args)

    want, got = (value_and_gradients(function, params, fine, adapter, adapter_bias) for function in (plain, ours))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_shared_maps_are_repeated_in_order():
    x, shared = jnp.zeros((4, 1, 1, 1)), jnp.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    assert add_shared(x, shared).ravel().tolist() == [1, 2, 1, 2]
