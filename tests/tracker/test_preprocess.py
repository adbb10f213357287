"""Input sizes; cubic and nearest resizing equal loops and values computed by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aot_jax import preprocess
from aot_jax.preprocess import inference_size, normalise, resize_nearest

resize_cubic = jax.jit(preprocess.resize_cubic, static_argnums=1)  # compiles faster than its operations one by one


@pytest.mark.parametrize(
    ("height", "width", "options", "want"),
    [
        (480, 854, {"max_long_edge": 1040}, (481, 849)),  # 479 / 16 = 29.94, 853 / 16 = 53.3
        (480, 854, {"max_long_edge": 1040, "align_corners": False}, (480, 848)),
        (720, 1280, {"max_long_edge": 1040}, (577, 1041)),  # 585 x 1040
        (1280, 720, {"max_long_edge": 1040}, (1041, 577)),
        (480, 854, {"max_long_edge": 0}, (481, 849)),
        (1080, 1920, {}, (1073, 1921)),  # 1079 / 16 = 67.44
        (1080, 1920, {"max_long_edge": 1040, "max_short_edge": 624}, (577, 1041)),  # 624 x 1109.3, then 585 x 1040
        (720, 900, {"max_long_edge": 1040, "max_short_edge": 624}, (625, 785)),  # 624 x 780
        (480, 854, {"scale": 1.3}, (625, 1105)),  # 624 x 1110.2
        (480, 854, {"scale": 1.3, "align_corners": False}, (624, 1104)),  # 1110 / 16 = 69.4
        (100, 101, {"scale": 0.5}, (49, 49)),  # 50.5 is truncated to 50: 49 / 16 = 3.06
        (9, 25, {}, (1, 33)),  # 8 / 16 = .5 goes to 0, 24 / 16 = 1.5 to 2
        (41, 57, {}, (33, 65)),  # 2.5 to 2, 3.5 to 4
        (8, 24, {"align_corners": False}, (16, 32)),  # .5 would go to 0, but a frame has a cell; 1.5 to 2
        (40, 56, {"align_corners": False}, (32, 64)),
        (1, 1, {}, (1, 1)),
        (1, 3, {"align_corners": False}, (16, 16)),
        (2, 2000, {"max_long_edge": 1040}, (1, 1041)),
    ],
)
def test_inference_size(height, width, options, want):
    assert inference_size(height, width, **options) == want


def cubic(d):
    """Cubic convolution with a = -.75 (Keys, 1981)."""
    a, d = -0.75, abs(d)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def cubic_by_loop(image, size):
    out = np.zeros((*size, image.shape[2]))
    for i, j in np.ndindex(*size):
        y, x = (i + 0.5) * image.shape[0] / size[0] - 0.5, (j + 0.5) * image.shape[1] / size[1] - 0.5
        for row in range(math.floor(y) - 1, math.floor(y) + 3):
            for column in range(math.floor(x) - 1, math.floor(x) + 3):
                pixel = image[min(max(row, 0), image.shape[0] - 1), min(max(column, 0), image.shape[1] - 1)]
                out[i, j] += cubic(y - row) * cubic(x - column) * pixel.astype(np.float64)
    return out


@pytest.mark.parametrize(
    ("old", "new"), [((5, 7), (9, 4)), ((6, 5), (6, 11)), ((1, 3), (3, 5)), ((4, 1), (9, 1)), ((4, 4), (1, 1))]
)
def test_resize_cubic_equals_a_loop(old, new):
    image = np.random.default_rng(0).integers(0, 256, (*old, 3), np.uint8)
    got = resize_cubic(image, new)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, cubic_by_loop(image, new), atol=1e-3)


def test_resize_cubic_is_not_clipped():
    edge = jnp.array([[0, 0, 255, 255]], jnp.uint8)[..., None]
    out = np.asarray(resize_cubic(edge, (1, 9)))
    assert out.min() < -5
    assert out.max() > 260


def test_same_size_changes_no_value():
    image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_array_equal(resize_cubic(jnp.asarray(image), (5, 6)), image.astype(np.float32))


def test_normalise():
    want = [(124 / 255 - 0.485) / 0.229, (116 / 255 - 0.456) / 0.224, (104 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(normalise(jnp.array([124.0, 116, 104])), want, atol=1e-6)


def test_resize_nearest_takes_the_floor():
    row = np.arange(5)[None]
    assert resize_nearest(row, (1, 3)).tolist() == [[0, 1, 3]]  # 0, 5/3, 10/3; half-pixel centres would give 0, 2, 4
    assert resize_nearest(row, (1, 8)).tolist() == [[0, 0, 1, 1, 2, 3, 3, 4]]
    mask = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(resize_nearest(jnp.asarray(mask), (5, 2)), mask[[0, 0, 1, 1, 2]][:, [0, 2]])
