import numpy as np
import pytest

from data_pipeline.merge import Clip, merge
from data_pipeline.sampling import generator


def clip(masks, colour):
    masks = np.asarray(masks, np.uint8)
    images = np.full((*masks.shape, 3), colour, np.uint8)
    ids = set(np.unique(masks)) - {0, 255}
    return Clip(images, masks, len(ids))


def run(below, above, pixels=0, most=10, k=0):
    images, masks, objects = merge(clip(below, 10), clip(above, 200), generator(1, 1, k), pixels, most)
    return images[..., 0], masks, objects


def test_objects_are_pasted_and_void_is_kept_as_the_recipe_says():
    below = [[[0, 1, 1, 255, 255, 2]], [[1, 1, 0, 255, 2, 2]]]
    above = [[[255, 0, 1, 1, 255, 0]], [[0, 255, 2, 1, 0, 0]]]
    images, masks, objects = run(below, above)
    # Pasted: ids 1 and 2 of the upper clip. Its void is not; the lower void stays where nothing covers it. The upper 2
    # is not in the first frame, so it is background, though its pixels are pasted.
    assert masks.tolist() == [[[0, 1, 3, 3, 255, 2]], [[1, 1, 0, 3, 2, 2]]]
    assert images.tolist() == [[[10, 10, 200, 200, 10, 10]], [[10, 10, 200, 200, 10, 10]]]
    assert objects == 3


def test_objects_that_are_small_after_merging_become_background():
    below = np.zeros((2, 30, 30), np.uint8)
    below[:, :10, :10] = 1  # 100 pixels: dropped
    below[:, 10:21, :10] = 2  # 110 pixels, 60 of them covered: dropped
    above = np.zeros((2, 30, 30), np.uint8)
    above[:, 15:, :12] = 1
    above[1, :4, 20:] = 2  # only in the second frame
    _, masks, objects = run(below, above, pixels=100)
    assert objects == 1
    assert (masks == (above == 1)).all()
    below[:, 10, 0] = 1  # one pixel more
    _, masks, objects = run(below, above, pixels=100)
    assert objects == 2
    assert (masks[0, :10, :10] == 1).all()
    assert (masks[0, 15:, :12] == 2).all()


@pytest.mark.parametrize(("lower", "upper"), [(10, 10), (10, 1), (1, 10), (7, 3), (0, 10), (0, 0)])
def test_ids_stay_within_ten_and_have_no_gaps(lower, upper):
    below, above = np.zeros((2, 2, 20), np.uint8), np.zeros((2, 2, 20), np.uint8)
    below[:, 0, :lower] = np.arange(1, lower + 1)
    above[:, 1, :upper] = np.arange(1, upper + 1)
    kept = set()
    for k in range(8):
        _, masks, objects = run(below, above, k=k)
        assert objects == min(lower + upper, 10)
        assert set(np.unique(masks)) - {0} == set(range(1, objects + 1))
        np.testing.assert_array_equal(masks[0], masks[1])
        kept.add(masks[0].tobytes())
    assert (len(kept) > 1) == (lower + upper > 10)  # the ten kept are drawn at random
