"""Moving clips: labels match the pixels of their objects, paths are smooth, look-alikes come in pairs."""

import itertools

import numpy as np
import pytest

from configs.common import get_config
from data_pipeline.moving import moving
from data_pipeline.sampling import generator

GREY, COLOURS = 120, [(220, 20, 20), (20, 220, 20), (20, 20, 220), (220, 220, 20)]


def fields(**changes):
    data = get_config().data
    data.update({"frames": 6, "crop": 160})
    data.moving.update({"blur": 0.0, "lookalikes": 0.0, **changes})
    return data


def picture(colour, ids=1, shape=(120, 160)):
    """Return a grey image with a disk of this colour and id, beside a stripe of void."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    disk = np.hypot(rows - 60, columns - 80) < 30
    mask = (ids * disk).astype(np.uint8)
    mask[:, :10] = 255
    image = np.where(disk[..., None], colour, GREY).astype(np.uint8)
    image[:, :10] = (255, 0, 255)  # must not be pasted
    return image, mask


def background(colour=(GREY, GREY, GREY), ids=0):
    image, mask = picture(colour, ids, (200, 240))
    image[:, :10], mask[:, :10] = GREY, 0
    return image, mask


def run(k, data, below=None):
    colours = itertools.cycle(COLOURS)
    return moving(*(below or background()), lambda: picture(next(colours)), generator(4, 1, k), data)


def centres(mask):
    return {i: np.argwhere(mask == i).mean(axis=0) for i in np.unique(mask) if 0 < i < 255}


def test_labels_lie_on_the_pixels_of_their_objects():
    seen = 0
    for k in range(12):
        clip = run(k, fields(objects=(3, 4)), below=background((0, 0, 0), 7))
        assert clip.images.shape == (6, 160, 160, 3)
        assert set(np.unique(clip.masks)) - {0} == set(range(1, clip.objects + 1))
        owners = {}
        for image, mask in zip(clip.images.astype(int), clip.masks, strict=True):
            for number in range(1, clip.objects + 1):
                found = image[mask == number]
                if len(found) > 200:
                    seen += 1
                    colour = owners.setdefault(number, np.median(found, axis=0))
                    near = np.abs(found - colour).max(axis=1) < 60
                    assert near.mean() > 0.85  # all but the edge of one pixel
            bare = np.abs(image - GREY).max(axis=2) < 12
            assert (mask[bare] == 0).mean() > 0.99
            assert not (np.abs(image - (255, 0, 255)).max(axis=2) < 60).any()  # nothing but the object is cut out
        assert len({tuple(colour) for colour in owners.values()}) == len(owners)
    assert seen > 100


def test_small_objects_of_the_reference_and_those_beyond_the_most_are_background():
    for k in range(8):
        data = fields(objects=(4, 4), enlarge=10.0)
        data.max_objects, data.min_object_pixels = 2, 150
        clip = run(k, data)
        assert clip.objects <= 2
        assert all((clip.masks[0] == i).sum() > 150 for i in range(1, clip.objects + 1))


def test_paths_are_smooth_and_within_their_ranges():
    data, moved, turned = fields(objects=(1, 1), speed=(0.02, 0.06), size=(0.2, 0.3), outside=-0.3), [], 0
    for k in range(20):
        path = np.array([centres(mask).get(1, (np.nan, np.nan)) for mask in run(k, data).masks])
        clear = np.array([not np.any(np.r_[mask[0], mask[-1], mask[:, 0], mask[:, -1]]) for mask in run(k, data).masks])
        path = path[np.cumprod(clear).astype(bool)]  # while the object is completely visible
        if len(path) < 3:
            continue
        steps = np.diff(path, axis=0)
        moved += np.hypot(*steps.T).tolist()
        assert np.hypot(*np.diff(steps, axis=0).T).max() < 0.25 * 0.06 * 160 + 1.5  # acceleration, and rounding
        turned += 1
    assert turned > 10
    assert max(moved) < 0.06 * 160 * (1 + 0.25 * 5) + 1
    assert np.median(moved) > 0.02 * 160 / 2.5


def test_lookalikes_are_two_objects_of_nearly_one_colour_on_two_paths():
    pairs = 0
    for k in range(12):
        clip = run(k, fields(objects=(1, 1), lookalikes=1.0, outside=-0.2))
        if clip.objects < 2:
            continue
        pairs += 1
        one, two = (np.median(clip.images[0][clip.masks[0] == i], axis=0) for i in (1, 2))
        assert 0 < np.abs(one - two).max() < 0.2 * 255
        first, last = centres(clip.masks[0]), centres(clip.masks[-1])
        if {1, 2} <= last.keys():
            assert np.abs((last[1] - first[1]) - (last[2] - first[2])).max() > 1
    assert pairs > 6


def test_objects_cross_in_a_fixed_order():
    covered = 0
    for k in range(20):
        clip = run(k, fields(objects=(2, 2), size=(0.3, 0.4), meet=1.0, outside=-0.2, speed=(0.05, 0.09)))
        whole = [(clip.masks == i).sum(axis=(1, 2)) for i in range(1, clip.objects + 1)]
        covered += any(areas.min() < 0.7 * areas.max() for areas in whole)
    assert covered > 8


def test_background_moves_with_its_objects_and_its_void_stays_void():
    image, mask = background((10, 200, 200), 9)
    mask[:, 200:], image[:, 200:] = 255, (200, 0, 200)
    voids = 0
    data = fields(objects=(0, 0), window=(0.8, 0.9))
    data.flip = 0.0
    places = []
    for k in range(12):
        clip = run(k, data, below=(image, mask))
        voids += (clip.masks == 255).any()
        for view, labels in zip(clip.images.astype(int), clip.masks, strict=True):
            assert (labels[np.abs(view - (200, 0, 200)).max(axis=2) < 20] == 255).all()
            assert ((labels == 1) == (np.abs(view - (10, 200, 200)).max(axis=2) < 90)).mean() > 0.98
        places.append(centres(clip.masks[-1])[1] - centres(clip.masks[0])[1])
    assert voids > 1
    assert np.ptp(places, axis=0).min() > 5  # each window pans its own way


def test_blur_smears_fast_objects():
    sharp, smeared = (
        [
            run(k, fields(objects=(1, 1), blur=b, shutter=(0.9, 0.9), speed=(0.2, 0.2), size=(0.3, 0.3)))
            for k in range(6)
        ]
        for b in (0.0, 1.0)
    )
    softer = 0
    for one, two in zip(sharp, smeared, strict=True):
        steps = [np.abs(np.diff(clip.images[0].astype(int), axis=1)).max(axis=2) for clip in (one, two)]
        softer += (steps[0] > 60).sum() > 1.5 * (steps[1] > 60).sum()
    assert softer >= 4


def test_without_an_object_that_is_large_enough_nothing_is_pasted():
    data = fields(objects=(2, 2), min_pixels=10**6)
    assert run(0, data).objects == 0


@pytest.mark.parametrize("shape", [(40, 300), (300, 40)])
def test_any_background_gives_the_fixed_shape(shape):
    clip = run(0, fields(), below=(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8)))
    assert clip.images.shape == (6, 160, 160, 3)
    assert clip.masks.shape == (6, 160, 160)
