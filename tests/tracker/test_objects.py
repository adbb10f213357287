"""Objects: ids to slots, slots to groups; soft aggregation equals the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aot_jax.models.layers import resize_bilinear
from aot_jax.tracker import objects
from aot_jax.tracker.objects import Slots, group_count

# Whole programs compile faster than their operations one by one.
join_logits = jax.jit(objects.join_logits)
split_groups = jax.jit(objects.split_groups, static_argnums=(1, 2))
resized_labels = jax.jit(objects.resized_labels, static_argnums=(1, 2))


@pytest.mark.parametrize(
    ("slots", "identities", "groups"), [(0, 10, 1), (1, 10, 1), (10, 10, 1), (11, 10, 2), (44, 10, 5), (3, 1, 3)]
)
def test_group_count(slots, identities, groups):
    assert group_count(slots, identities) == groups


def test_ids_of_other_groups_are_background():
    labels = jnp.array([[0, 1, 3, 4], [6, 7, 0, 2]])
    np.testing.assert_array_equal(
        split_groups(labels, 3, 3),
        [[[0, 1, 3, 0], [0, 0, 0, 2]], [[0, 0, 0, 1], [3, 0, 0, 0]], [[0, 0, 0, 0], [0, 1, 0, 0]]],
    )


def test_slots_are_reused():
    slots = Slots(2).take([7, 3, 9])
    assert (slots.of, slots.groups) == ({7: 1, 3: 2, 9: 3}, 2)
    np.testing.assert_array_equal(slots.used(), [[1, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(slots.holding([9, 7, 5]), [0, 1, 0, 1, 0])
    assert slots.free([9]).groups == 1
    slots = slots.free([9, 7]).take([3, 20, 21])
    assert slots.of == {3: 2, 20: 1, 21: 3}
    mask = np.array([[0, 21, 3, 20]])
    np.testing.assert_array_equal(slots.from_ids(mask), [[0, 3, 2, 1]])
    np.testing.assert_array_equal(slots.to_ids(jnp.asarray(slots.from_ids(mask))), mask)
    assert slots.used().dtype == slots.holding([3]).dtype == bool


def test_one_group_stays_as_it_is():
    logits = jnp.asarray(np.random.default_rng(0).standard_normal((1, 2, 3, 4)) * 50)
    np.testing.assert_array_equal(join_logits(logits), logits[0])


def test_soft_aggregation_follows_the_formula():
    logits = np.random.default_rng(0).standard_normal((3, 2, 2, 3)) * 2
    joined = np.asarray(join_logits(jnp.float32(logits)))
    assert joined.shape == (2, 2, 7)
    for y, x in np.ndindex(2, 2):
        p = np.exp(logits[:, y, x]) / np.exp(logits[:, y, x]).sum(axis=-1, keepdims=True)
        want = [p[0, 0] * p[1, 0] * p[2, 0], p[0, 1], p[0, 2], p[1, 1], p[1, 2], p[2, 1], p[2, 2]]
        want = np.log(want) - np.log1p(-np.array(want))
        np.testing.assert_allclose(joined[y, x], want, atol=1e-4)


def test_soft_aggregation_clamps():
    # Group 0 is sure of its object, group 1 of background; identity 2 of each is unused.
    logits = jnp.array([[0.0, 40, -1e10], [40, 0, -1e10]])[:, None, None]
    joined = np.asarray(join_logits(logits))[0, 0]
    sure = np.log((1 - 1e-5) / 1e-5)
    np.testing.assert_allclose(joined, [-sure, sure, -sure, -sure, -sure], rtol=2e-3)


def test_splitting_and_joining_agree_on_the_order_of_slots():
    labels = jnp.array([[0, 1, 2, 3, 4, 5, 6]])
    masks = split_groups(labels, 3, 2)
    logits = np.float32(9 * (np.asarray(masks)[..., None] == np.arange(3)))
    np.testing.assert_array_equal(np.argmax(join_logits(logits), axis=-1), labels)


@pytest.mark.parametrize("groups", [1, 2, 5])
def test_labels_are_the_argmax_of_the_joined_logits(groups):
    logits = np.random.default_rng(groups).standard_normal((groups, 16, 16, 4)).astype(np.float32) * 3
    logits[:, :4, :4] = [40, 0, 0, 0]  # all sure of background
    logits[0, 4:8, 4:8] = [0, 0, 40, 0]
    logits[-1, ..., 3] = -1e10  # an identity that no object holds
    labels = resized_labels(logits, (16, 16), True)
    np.testing.assert_array_equal(labels, np.argmax(join_logits(logits), axis=-1))
    large = np.argmax(join_logits(jax.jit(resize_bilinear, static_argnums=(1, 2))(logits, (40, 50), True)), axis=-1)
    assert np.mean(np.asarray(resized_labels(logits, (40, 50), True)) == large) > 0.999  # rounding decides ties
    assert len(np.unique(labels)) == 3 * groups
