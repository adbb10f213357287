"""More than ten objects: groups of ten as the batch axis, joined by soft aggregation.

Objects hold slots 1, 2, 3 ... of a video; slot s is identity (s - 1) % M + 1 of group (s - 1) // M.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.layers import resize_planes
from aot_jax.typing import Array


def group_count(slots: int, identities: int) -> int:
    """Return how many groups hold `slots` slots."""
    return max(-(-slots // identities), 1)


def split_groups(labels: Array, groups: int, identities: int) -> Array:
    """Split labels (h, w) in slots into a mask for each group, (groups, h, w) in 0 .. M; others are background."""
    first = jnp.arange(groups, dtype=labels.dtype)[:, None, None] * identities
    local = labels[None] - first
    return jnp.where((local >= 1) & (local <= identities), local, 0)


def used_identities(slots: set[int], groups: int, identities: int) -> np.ndarray:
    """Return (groups, M + 1) bool: the identities that objects hold, and the background of each group."""
    used = np.zeros((groups, identities + 1), bool)
    used[:, 0] = True
    for slot in slots:
        used[(slot - 1) // identities, (slot - 1) % identities + 1] = True
    return used


def join_logits(logits: Array) -> Array:
    """Join the groups' logits (g, h, w, M + 1) into one map (h, w, 1 + g M) in the order of slots.

    Softmax in each group; the background's probability is the product of the groups'; clamped to [1e-5, 1 - 1e-5] and
    turned into logits again (soft aggregation). One group stays as it is.
    """
    groups, height, width, _ = logits.shape
    if groups == 1:
        return logits[0]
    probabilities = jax.nn.softmax(logits, axis=-1)
    background = probabilities[..., 0].prod(axis=0)[..., None]
    objects = jnp.moveaxis(probabilities[..., 1:], 0, 2).reshape(height, width, -1)
    joined = jnp.clip(jnp.concatenate([background, objects], axis=-1), 1e-5, 1 - 1e-5)
    return jnp.log(joined) - jnp.log1p(-joined)


def resized_labels(logits: Array, size: Sequence[int], align_corners: bool) -> Array:
    """Resize the groups' logits (g, h, w, M + 1) and label each pixel: (*size,) int32 slots.

    This is the argmax of `join_logits`, without the logarithms, and group by group, so that no map of every object's
    probability is needed.
    """
    groups, channels = logits.shape[0], logits.shape[-1]

    def planes(own: Array) -> list[Array]:
        return list(resize_planes(own[None], size, align_corners)[0])

    if groups == 1:
        return _first_highest(planes(logits[0]))[0]

    def read(own: Array) -> tuple[Array, Array, Array]:
        background, *objects = planes(own)
        identity, best = _first_highest(objects)
        top = jnp.maximum(background, best)
        total = top + jnp.log(functools.reduce(operator.add, (jnp.exp(x - top) for x in (background, *objects))))
        return identity + 1, jnp.exp(best - total), background - total

    # One after the other: in a loop XLA's CPU backend would run this on one core.
    identity, best, background = zip(*(read(own) for own in logits), strict=True)
    candidates = [jnp.exp(functools.reduce(operator.add, background)), *best]
    winner, _ = _first_highest([jnp.clip(candidate, 1e-5, 1 - 1e-5) for candidate in candidates])
    labels = jnp.zeros_like(winner)
    for group in range(groups):
        labels = jnp.where(winner == group + 1, group * (channels - 1) + identity[group], labels)
    return labels


def _first_highest(planes: Sequence[Array]) -> tuple[Array, Array]:
    """Return which plane is the highest at each place, int32, the first of equals; and its value.

    Comparing plane by plane runs along rows of pixels; XLA's argmax walks across planes at each pixel.
    """
    index, highest = jnp.zeros(planes[0].shape, jnp.int32), planes[0]
    for i, plane in enumerate(planes[1:], 1):
        index = jnp.where(plane > highest, i, index)
        highest = jnp.maximum(plane, highest)
    return index, highest
