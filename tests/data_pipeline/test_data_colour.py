"""Colour augmentation: ranges and probabilities of both recipes."""

import numpy as np

from configs.common import get_config
from data_pipeline import augment
from data_pipeline.colour import Colour, draw_colour
from data_pipeline.sampling import generator


def fields(**static):
    data = get_config().data
    data.update({"frames": 3, "crop": 150})
    data.static.update({"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, **static})
    return data


def jittered(image, k, **ranges):
    return draw_colour(generator(8, 2, k), fields(**ranges), static=True)(image.copy())


def test_colour_jitter_stays_within_its_ranges():
    image = np.random.default_rng(1).uniform(60, 190, (20, 20, 3)).astype(np.float32)
    means = [jittered(image, k, brightness=0.1).mean() / image.mean() for k in range(60)]
    assert 0.899 < min(means) < 0.93
    assert 1.07 < max(means) < 1.101
    contrast = jittered(image, 0, contrast=0.1)
    grey = image @ [0.299, 0.587, 0.114]
    factor = (contrast - grey.mean()) / (image - grey.mean())
    assert 0.9 <= np.median(factor) <= 1.1
    assert np.median(factor) != 1
    np.testing.assert_allclose(factor, np.median(factor), rtol=0.05)
    saturation = jittered(image, 0, saturation=0.1)
    np.testing.assert_allclose(saturation @ [0.299, 0.587, 0.114], grey, atol=0.05)
    assert np.abs(saturation - image).max() > 1
    hue = jittered(image, 0, hue=0.03)
    np.testing.assert_allclose(hue.max(-1), image.max(-1), atol=0.05)  # hue keeps HSV's value
    assert 0.5 < np.abs(hue - image).max() < 190 * 0.03 * 6


def test_a_third_of_the_hue_circle_turns_red_to_green():
    red = np.full((2, 2, 3), (200, 40, 40), np.float32)
    np.testing.assert_allclose(Colour(hue=1 / 3)(red.copy())[0, 0], (40, 200, 40), atol=0.1)
    np.testing.assert_allclose(Colour(hue=-1 / 3)(red.copy())[0, 0], (40, 40, 200), atol=0.1)


def test_the_second_recipe_spans_its_ranges_with_its_probabilities():
    data = fields()
    data.augmentation = "v2"
    drawn = [draw_colour(generator(8, 2, k), data, static=False) for k in range(600)]
    jitter = [c for c in drawn if c.brightness != 1]
    assert 0.74 < len(jitter) / 600 < 0.86
    colourful = [c for c in jitter if c.saturation]
    for name, low, high, group in (
        ("brightness", 0.6, 1.4, jitter),
        ("contrast", 0.6, 1.4, jitter),
        ("saturation", 0.8, 1.2, colourful),
        ("hue", -0.1, 0.1, colourful),
        ("sigma", 0.1, 2.0, [c for c in drawn if c.sigma]),
    ):
        values = [getattr(c, name) for c in group]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
    assert 0.15 < np.mean([c.saturation == 0 for c in drawn]) < 0.25
    assert 0.24 < np.mean([c.sigma > 0 for c in drawn]) < 0.36
    data.augmentation = "v1"
    assert draw_colour(generator(8, 2, 0), data, static=False) is None


def test_grey_has_no_colour_and_blur_keeps_the_mean(grid):
    image = grid.astype(np.float32)
    grey = Colour(saturation=0.0)(image.copy())
    np.testing.assert_allclose(grey, np.repeat((image @ [0.299, 0.587, 0.114])[..., None], 3, 2), atol=0.01)
    noise = np.random.default_rng(0).uniform(0, 255, (60, 60, 3)).astype(np.float32)
    blurred = Colour(sigma=1.5)(noise.copy())
    assert abs(blurred.mean() - noise.mean()) < 2
    assert blurred.std() < 0.4 * noise.std()


def test_the_second_recipe_changes_all_frames_of_a_video_clip_alike(grid):
    images, masks = np.stack([grid] * 3), np.ones((3, *grid.shape[:2]), np.uint8)
    changed = 0
    for k in range(12):
        _, (plain, _, _) = video_view(images, masks, k)
        _, (out, labels, _) = video_view(images, masks, k, augmentation="v2")
        assert (labels == 1).any()
        np.testing.assert_array_equal(out[1], out[0])
        np.testing.assert_array_equal(out[2], out[0])
        changed += (out != plain).any()
    assert changed > 6


def video_view(images, masks, k, **changes):
    data = get_config().data
    data.update({"crop": 100, "short_edge": 100, **changes})
    return data, augment.video(list(images), list(masks), generator(8, 2, k), data)
