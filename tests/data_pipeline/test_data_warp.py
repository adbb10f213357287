"""Warps against the definition of bicubic interpolation."""

import numpy as np
import pytest

from data_pipeline import warp

FILL = (9, 8, 7)
NOISE = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
GRAIN = 1 / 32  # pixels to which OpenCV before version 5 rounds the positions of an affine warp
A = -0.75


def keys(x):
    x = abs(x)
    if x < 1:
        return (A + 2) * x**3 - (A + 3) * x**2 + 1
    return A * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def cubic_at(image, y, x):
    """Interpolate by the definition of bicubic interpolation, with repeated borders."""
    total = np.zeros(3)
    for i in range(int(np.floor(y - 0.5)) - 1, int(np.floor(y - 0.5)) + 3):
        for j in range(int(np.floor(x - 0.5)) - 1, int(np.floor(x - 0.5)) + 3):
            pixel = image[min(max(i, 0), len(image) - 1), min(max(j, 0), image.shape[1] - 1)]
            total += keys(y - 0.5 - i) * keys(x - 0.5 - j) * pixel
    return total


def test_an_affine_is_the_cubic_of_its_definition_and_fills_outside():
    matrix, shift = np.array([[0.7, 0.31], [-0.42, 0.8]]), np.array([-2.3, 4.1])
    mask = np.arange(13 * 17, dtype=np.uint8).reshape(13, 17)
    image = np.empty((20, 20, 3), np.float32)
    labels = warp.affine(warp.with_margin(NOISE), mask, matrix, shift, FILL, image)
    outside = 0
    for i in range(20):
        for j in range(20):
            y, x = matrix @ [i + 0.5, j + 0.5] + shift
            if 0 <= y < 13 and 0 <= x < 17:
                grid = [np.rint((v - 0.5) / GRAIN + d) * GRAIN + 0.5 for v in (y, x) for d in (-0.5, 0.5)]
                near = [cubic_at(NOISE, y, x), *(cubic_at(NOISE, a, b) for a in grid[:2] for b in grid[2:])]
                assert np.abs(near - image[i, j]).max(axis=1).min() < 0.1
                assert labels[i, j] == mask[int(y), int(x)]
            else:
                outside += 1
                np.testing.assert_array_equal(image[i, j], FILL)
                assert labels[i, j] == 0
    assert 50 < outside < 350


def test_doing_nothing_changes_nothing():
    square = NOISE[:13, :13]
    image = np.empty((13, 13, 3), np.float32)
    labels = warp.affine(warp.with_margin(square), square[..., 0].copy(), np.eye(2), np.zeros(2), FILL, image)
    np.testing.assert_allclose(image, square, atol=1e-3)
    np.testing.assert_array_equal(labels, square[..., 0])
    same = warp.resize_window(square, (13, 13), np.zeros(2, int), 13, FILL)
    np.testing.assert_array_equal(same, square)
    masks = warp.resize_mask_window(square[..., 1], (13, 13), np.zeros(2, int), 13)
    np.testing.assert_array_equal(masks, square[..., 1])


@pytest.mark.parametrize(("size", "offset"), [((22, 29), (-3, 5)), ((8, 14), (-2, -4)), ((30, 19), (6, -2))])
def test_windows_of_images_and_masks_agree_with_the_definition(size, offset):
    mask = np.arange(13 * 17, dtype=np.uint8).reshape(13, 17)
    scale = np.array(size) / (13, 17)
    image = warp.resize_window(NOISE.astype(np.float32), size, np.array(offset), 18, FILL)
    labels = warp.resize_mask_window(mask, size, np.array(offset), 18)
    checked = 0
    for i in range(18):
        for j in range(18):
            y, x = (i + 0.5 + offset[0]) / scale[0], (j + 0.5 + offset[1]) / scale[1]
            if 0 <= y < 13 and 0 <= x < 17:
                checked += 1
                assert labels[i, j] == mask[int(y), int(x)]
                np.testing.assert_allclose(image[i, j], cubic_at(NOISE, y, x), atol=5e-3)
            else:
                assert labels[i, j] == 0
                np.testing.assert_array_equal(image[i, j], FILL)
    assert checked > 20
