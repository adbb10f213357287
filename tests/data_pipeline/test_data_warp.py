import numpy as np
import pytest
import tensorflow as tf

from data_pipeline import warp

FILL = tf.constant([9.0, 8.0, 7.0])
NOISE = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)


def keys(x):
    x = abs(x)
    return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def cubic_at(image, y, x):
    """The cubic, straight from its definition; borders repeated."""
    total = np.zeros(3)
    for i in range(int(np.floor(y - 0.5)) - 1, int(np.floor(y - 0.5)) + 3):
        for j in range(int(np.floor(x - 0.5)) - 1, int(np.floor(x - 0.5)) + 3):
            pixel = image[min(max(i, 0), len(image) - 1), min(max(j, 0), image.shape[1] - 1)]
            total += keys(y - 0.5 - i) * keys(x - 0.5 - j) * pixel
    return total


def test_an_affine_is_the_cubic_of_its_definition_and_fills_outside():
    matrix, shift = np.array([[0.7, 0.31], [-0.42, 0.8]], np.float32), np.array([-2.3, 4.1], np.float32)
    mask = np.arange(13 * 17, dtype=np.uint8).reshape(13, 17)
    taps = warp.cubic_taps(tf.constant(NOISE))
    image, labels = warp.affine(taps, tf.constant(mask), 20, tf.constant(matrix), tf.constant(shift), FILL)
    outside = 0
    for i in range(20):
        for j in range(20):
            y, x = matrix @ [i + 0.5, j + 0.5] + shift
            if 0 <= y < 13 and 0 <= x < 17:
                np.testing.assert_allclose(image[i, j], cubic_at(NOISE, y, x), atol=2e-3)
                assert labels[i, j] == mask[int(y), int(x)]
            else:
                outside += 1
                np.testing.assert_array_equal(image[i, j], FILL)
                assert labels[i, j] == 0
    assert 50 < outside < 350


def test_doing_nothing_changes_nothing():
    square = NOISE[:13, :13]
    image, _ = warp.affine(
        warp.cubic_taps(tf.constant(square)), tf.constant(square[..., 0]), 13, tf.eye(2), tf.zeros(2), FILL
    )
    np.testing.assert_allclose(image, square, atol=1e-3)
    same = warp.resample(tf.constant(square[None]), 13, tf.ones(2), tf.zeros(2))
    np.testing.assert_allclose(same[0], square, atol=1e-3)
    masks = warp.resample_masks(tf.constant(square[None, ..., 1]), 13, tf.ones(2), tf.zeros(2))
    np.testing.assert_array_equal(masks[0], square[..., 1])


@pytest.mark.parametrize(
    ("scale", "offset"), [((1.7, 1.7), (-3.0, 5.0)), ((0.6, 0.8), (-2.0, -4.0)), ((2.3, 1.1), (6.0, -2.0))]
)
def test_resampling_images_and_masks_agree_with_the_definition(scale, offset):
    """Inside, away from the border where the cubic's weights are renormalised."""
    mask = np.arange(13 * 17, dtype=np.uint8).reshape(1, 13, 17)
    arguments = (18, tf.constant(scale), tf.constant(offset))
    image = warp.resample(tf.constant(NOISE[None]), *arguments)[0]
    labels = warp.resample_masks(tf.constant(mask), *arguments)[0]
    inside = warp.inside(tf.constant(mask), *arguments)
    checked = 0
    for i in range(18):
        for j in range(18):
            y, x = (i + 0.5 + offset[0]) / scale[0], (j + 0.5 + offset[1]) / scale[1]
            assert bool(inside[i, j]) == (0 <= y < 13 and 0 <= x < 17)
            assert labels[i, j] == (mask[0, int(y), int(x)] if inside[i, j] else 0)
            if 2 <= y < 11 and 2 <= x < 15:
                checked += 1
                np.testing.assert_allclose(image[i, j], cubic_at(NOISE, y, x), atol=5e-3)
    assert checked > 20
