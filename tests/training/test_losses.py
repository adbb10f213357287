"""Losses: small exact arrays; bootstrapped cross-entropy equals a slow reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aot_jax.training import losses
from aot_jax.training.losses import auxiliary_weight, hard_fraction, kth_largest

# Whole programs compile faster than their operations one by one.
bootstrapped_cross_entropy = jax.jit(losses.bootstrapped_cross_entropy)
soft_jaccard = jax.jit(losses.soft_jaccard)
frame_loss = jax.jit(losses.frame_loss)


def draw(batch=2, height=5, width=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((batch, height, width, classes)).astype(np.float32)
    labels = rng.integers(0, classes, (batch, height, width))
    labels[0, :2] = 255
    return logits, labels


def slow_cross_entropy(logits, labels, fraction):
    """Take the largest int(fraction h w) losses of each sample; void pixels have loss zero."""
    means = []
    for values, truth in zip(logits.astype(np.float64), labels, strict=True):
        log = values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
        losses = [0.0 if i == 255 else -log[y, x, i] for (y, x), i in np.ndenumerate(truth)]
        count = max(int(fraction * len(losses)), 1)
        means.append(sum(sorted(losses, reverse=True)[:count]) / count)
    return means


@pytest.mark.parametrize("fraction", [1.0, 0.6, 0.15, 0.01])
def test_cross_entropy_keeps_the_hardest_pixels(fraction):
    logits, labels = draw()
    found = bootstrapped_cross_entropy(logits, labels, jnp.float32(fraction))
    np.testing.assert_allclose(found, slow_cross_entropy(logits, labels, fraction), rtol=1e-5)


@jax.jit
def gradient_of_hardest(logits, labels):
    return jax.grad(lambda x: bootstrapped_cross_entropy(x, labels, jnp.float32(0.25)).sum())(logits)


def test_cross_entropy_has_no_gradient_in_easy_and_void_pixels():
    logits, labels = draw()
    gradient = gradient_of_hardest(logits, labels)
    touched = np.abs(gradient).max(axis=-1) > 0
    assert touched.sum(axis=(1, 2)).tolist() == [5, 5]  # int(.25 * 20)
    assert not touched[labels == 255].any()


def test_equal_pixels_share_what_is_kept():
    logits = jnp.zeros((1, 2, 4, 2))
    labels = jnp.zeros((1, 2, 4), jnp.int32)
    found = bootstrapped_cross_entropy(logits, labels, jnp.float32(0.25))
    np.testing.assert_allclose(found, [np.log(2)], rtol=1e-6)
    gradient = gradient_of_hardest(logits, labels)
    np.testing.assert_allclose(gradient[..., 0], np.full((1, 2, 4), -0.5 / 8), rtol=1e-5)


def test_jaccard_by_hand():
    # Two pixels, two classes with p = (.75, .25) in both; the labels are 0 and 1.
    logits = jnp.log(jnp.array([[[[0.75, 0.25], [0.75, 0.25]]]]))
    labels = jnp.array([[[0, 1]]])
    background, thing = 0.75 / (1.5 + 1 - 0.75), 0.25 / (0.5 + 1 - 0.25)
    np.testing.assert_allclose(soft_jaccard(logits, labels), [1 - (background + thing) / 2], rtol=1e-5)
    # A class that is not in the labels does not count; void pixels vanish from both sides.
    np.testing.assert_allclose(soft_jaccard(logits, jnp.array([[[0, 255]]])), [1 - 0.75 / (0.75 + 1 - 0.75)], rtol=1e-5)
    np.testing.assert_array_equal(soft_jaccard(logits, jnp.full((1, 1, 2), 255)), [0])


def test_frame_loss_is_the_mean_of_both():
    logits, labels = draw()
    expected = (bootstrapped_cross_entropy(logits, labels, jnp.float32(0.5)) + soft_jaccard(logits, labels)) / 2
    np.testing.assert_allclose(frame_loss(logits, labels, jnp.float32(0.5)), expected, rtol=1e-6)


def test_schedules():
    assert [float(hard_fraction(step, 100, 0.15)) for step in (0, 50, 100, 400)] == pytest.approx(
        [1, 0.575, 0.15, 0.15]
    )
    assert [float(auxiliary_weight(step, 100)) for step in (0, 25, 100, 400)] == pytest.approx([1, 0.75, 0, 0])


@pytest.mark.parametrize("k", [1, 2, 50, 99, 100])
def test_kth_largest_is_what_sorting_gives(k):
    rng = np.random.default_rng(k)
    x = np.round(rng.exponential(size=(3, 100)).astype(np.float32), 1)  # with ties and zeros
    found = kth_largest(jnp.asarray(x), jnp.int32(k))
    np.testing.assert_array_equal(found, np.sort(x, axis=1)[:, -k])
