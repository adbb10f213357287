import itertools

import numpy as np
import pytest

from aot_jax.io.generated import make_video, plan_video


def overlap(a, b):
    return (a & b).sum() / max(1, (a | b).sum())


def test_same_arguments_give_the_same_video_and_another_seed_another():
    one, again, other = (make_video(seed, 4, 64, 80, 3) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert (one[0] != other[0]).mean() > 0.9
    assert one[0].shape == (4, 64, 80, 3)
    assert one[1].shape == (4, 64, 80)
    assert one[0].dtype == one[1].dtype == np.uint8


def test_objects_move_far_over_a_video_and_little_between_frames():
    copied, followed = [], []
    for index in range(8):
        plan = plan_video(11, index, (1, 5))
        _, masks = make_video(plan.seed, 20, 120, 160, plan.objects, plan.lookalikes)
        for number in range(1, plan.objects + 1):
            mask = masks == number
            copied.append(np.mean([overlap(mask[0], later) for later in mask[1:]]))
            followed.append(np.mean([overlap(a, b) for a, b in itertools.pairwise(mask)]))
    assert np.mean(copied) <= 0.3  # so that the copied first mask scores low
    assert np.mean(followed) >= 0.6


@pytest.mark.parametrize("objects", [1, 3, 6])
def test_every_object_is_visible_at_first(objects):
    for seed in range(5):
        _, masks = make_video((1, seed), 1, 120, 160, objects)
        assert set(np.unique(masks[0])) - {0} == set(range(1, objects + 1))


def test_look_alikes_share_their_colours():
    def colour(image, mask, number):
        return image[mask == number].astype(float).mean(0)

    alike, unlike = [], []
    for seed in range(12):
        for lookalikes, distances in ((2, alike), (0, unlike)):
            images, masks = make_video((9, seed), 1, 160, 208, 2, lookalikes)
            distances.append(np.abs(colour(images[0], masks[0], 1) - colour(images[0], masks[0], 2)).sum())
    assert np.median(alike) < 0.3 * np.median(unlike)


def test_plans_have_three_objects_on_average_and_look_alikes_in_a_quarter():
    plans = [plan_video(0, index, (1, 5)) for index in range(800)]
    assert 2.8 < np.mean([plan.objects for plan in plans]) < 3.3
    assert 0.2 < np.mean([plan.lookalikes == 2 for plan in plans]) < 0.3
    assert all(plan.lookalikes <= plan.objects for plan in plans)
    assert len({plan.seed for plan in plans}) == 800


@pytest.mark.parametrize("arguments", [(2, 64, 64, 0), (2, 64, 64, 255), (2, 16, 64, 1), (0, 64, 64, 1)])
def test_wrong_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f"cannot draw {arguments[3]} objects"):
        make_video(0, *arguments)
