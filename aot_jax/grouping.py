"""More than ten objects: groups of ten as the batch axis, joined by soft aggregation. Called by `stream.py`.

Objects hold slots 1, 2, 3 ... of a video; slot s is identity (s - 1) % M + 1 of group (s - 1) // M.
"""

import jax
import jax.numpy as jnp
import numpy as np

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


def join_labels(logits: Array) -> Array:
    """Label each pixel of the groups' logits (g, h, w, M + 1): (h, w) int32 slots.

    This is the argmax of `join_logits`, without the logarithms and without a map of every object's probability.
    """
    groups, _, _, channels = logits.shape
    if groups == 1:
        return jnp.argmax(logits[0], axis=-1).astype(jnp.int32)
    total = jax.nn.logsumexp(logits, axis=-1)
    background = jnp.exp((logits[..., 0] - total).sum(axis=0))
    best = jnp.exp(logits[..., 1:].max(axis=-1) - total)
    identity = logits[..., 1:].argmax(axis=-1).astype(jnp.int32) + 1
    group = jnp.clip(jnp.concatenate([background[None], best]), 1e-5, 1 - 1e-5).argmax(axis=0)
    slots = jnp.arange(groups, dtype=jnp.int32)[:, None, None] * (channels - 1) + identity
    return jnp.take_along_axis(jnp.concatenate([jnp.zeros_like(slots[:1]), slots]), group[None], axis=0)[0]
