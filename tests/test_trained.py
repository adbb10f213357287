"""Behaviour that only a trained network shows."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from aot_jax.io.generated import HELD_OUT, make_video, plan_video
from aot_jax.metrics import region_similarity
from aot_jax.network import make_model
from aot_jax.tracker.tracker import Tracker
from tests import trained

pytestmark = pytest.mark.slow

FRAMES = 8


@pytest.fixture(scope="module")
def videos():
    """Return three held-out videos, shorter: frames (t, h, w, 3) and masks (t, h, w) of two objects or more."""
    plans = (plan_video(HELD_OUT.seed, i, HELD_OUT.objects, HELD_OUT.lookalikes) for i in range(HELD_OUT.videos))
    plans = [plan for plan in plans if plan.objects > 1][:3]
    return [make_video(frames=FRAMES, height=HELD_OUT.height, width=HELD_OUT.width, **asdict(plan)) for plan in plans]


def track(frames, mask, depth, dtype="float32"):
    model = trained.quickstart()
    tracker = Tracker(replace(model, module=make_model(model.config, dtype)), depth)
    return np.stack([tracker.step(frame, mask if t == 0 else None) for t, frame in enumerate(frames)])


def mean_similarity(masks, labels):
    """Return the mean J over objects and the frames after the first."""
    ids = np.unique(masks[0])[1:]
    return np.mean([region_similarity(masks[t] == i, labels[t] == i) for t in range(1, len(masks)) for i in ids])


@pytest.mark.parametrize("depth", [1, 3])
def test_objects_are_tracked_and_swapped_ids_swap_in_the_answer(videos, depth):
    similarity, copied, same, changed = [], [], [], []
    for frames, masks in videos:
        labels = track(frames, masks[0], depth)
        swap = np.arange(masks.max() + 1)
        swap[1], swap[2] = 2, 1
        swapped = track(frames, swap[masks[0]], depth)
        similarity.append(mean_similarity(masks, labels))
        copied.append(mean_similarity(masks, masks[:1].repeat(FRAMES, axis=0)))
        either = np.isin(labels[1:], (1, 2)) | np.isin(swapped[1:], (1, 2))
        same.append(np.mean(swap[labels[1:]][either] == swapped[1:][either]))
        changed.append(np.mean(labels[1:][either] == swapped[1:][either]))
    print(depth, similarity, copied, same, changed)
    assert np.mean(similarity) > np.mean(copied) + 0.2
    assert min(same) > 0.7, "the answer's ids follow the reference mask's"
    assert max(changed) < 0.1


def test_bfloat16_answers_as_float32_does(videos):
    frames, masks = videos[0]
    whole, half = (track(frames, masks[0], 1, dtype)[1:] for dtype in ("float32", "bfloat16"))
    assert (whole != half).any(), "both ran in the same type"
    assert np.mean((whole == half)[(whole > 0) | (half > 0)]) > 0.95
