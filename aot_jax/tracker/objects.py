"""The objects of a video: the user's ids in slots 1, 2, 3 ..., slots in groups of M that share a pass of the network.

An object keeps its slot for the whole video; the slot of a removed object goes to the next new one. Slot s is
identity (s - 1) % M + 1 of group (s - 1) // M. Groups are the network's batch axis, joined by soft aggregation.
"""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.layers import resize_planes
from aot_jax.typing import Array, ArrayLike


@dataclass(frozen=True)
class Slots:
    """The slot of each object."""

    identities: int  # M, slots of one group
    of: Mapping[int, int] = field(default_factory=dict)  # id -> slot, in order of appearance

    def take(self, ids: Iterable[int]) -> "Slots":
        """Give the lowest free slots to ids that have none."""
        of = dict(self.of)
        for i in ids:
            if i not in of:
                held = set(of.values())
                of[i] = next(slot for slot in range(1, len(held) + 2) if slot not in held)
        return replace(self, of=of)

    def free(self, ids: Iterable[int]) -> "Slots":
        """Free the slots of ids."""
        gone = set(ids)
        return replace(self, of={i: slot for i, slot in self.of.items() if i not in gone})

    def restore(self, pairs: Iterable[tuple[int, int]]) -> "Slots":
        """Replace all slots by pairs (id, slot), in order of appearance.

        Raises:
            ValueError: for ids or slots that are out of range or appear twice.
        """
        pairs = [(int(i), int(slot)) for i, slot in pairs]
        ids, slots = [i for i, _ in pairs], [slot for _, slot in pairs]
        if not all(0 < i < 2**31 for i in ids) or min(slots, default=1) < 1:
            raise ValueError("ids and slots of objects are out of range")
        if len(set(ids)) < len(ids) or len(set(slots)) < len(slots):
            raise ValueError("an id or a slot is held twice")
        return replace(self, of=dict(pairs))

    @property
    def groups(self) -> int:
        """Return the number of groups, at least 1."""
        return group_count(max(self.of.values(), default=1), self.identities)

    def used(self) -> np.ndarray:
        """Return (groups, M + 1) bool: identities in use, and each group's background."""
        used = np.zeros((self.groups, self.identities + 1), bool)
        used[:, 0] = True
        for slot in self.of.values():
            used[(slot - 1) // self.identities, (slot - 1) % self.identities + 1] = True
        return used

    def holding(self, ids: Iterable[int]) -> np.ndarray:
        """Return (1 + groups * M,) bool, by slot: whether one of `ids` holds it."""
        held = np.zeros(1 + self.groups * self.identities, bool)
        held[[self.of[i] for i in ids if i in self.of]] = True
        return held

    def from_ids(self, mask: np.ndarray) -> np.ndarray:
        """Map a mask (h, w) of ids, all of them known, to slots."""
        ids = np.array(sorted(self.of))
        slots = np.array([self.of[i] for i in ids.tolist()])
        return np.where(mask == 0, 0, slots[np.searchsorted(ids, mask).clip(max=len(ids) - 1)]).astype(np.int32)

    def to_ids(self, labels: ArrayLike) -> np.ndarray:
        """Map labels (h, w) in slots to ids, on the host."""
        table = np.zeros(1 + max(self.of.values(), default=0), np.int32)
        table[list(self.of.values())] = list(self.of)
        return table[np.asarray(labels)]


def group_count(slots: int, identities: int) -> int:
    """Return how many groups hold `slots` slots."""
    return max(-(-slots // identities), 1)


def split_groups(labels: Array, groups: int, identities: int) -> Array:
    """Split labels (h, w) in slots into a mask for each group, (groups, h, w) in 0 .. M; others are background."""
    first = jnp.arange(groups, dtype=labels.dtype)[:, None, None] * identities
    local = labels[None] - first
    return jnp.where((local >= 1) & (local <= identities), local, 0)


def join_logits(logits: Array) -> Array:
    """Join the groups' logits (g, h, w, M + 1) into one map (h, w, 1 + g M) in the order of slots.

    Softmax in each group; the background's probability is the product of the groups'; clamped to [1e-5, 1 - 1e-5] and
    turned into logits again (soft aggregation). One group is returned unchanged.
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

    def planes(group: Array) -> list[Array]:
        return list(resize_planes(group[None], size, align_corners)[0])

    if groups == 1:
        return _first_highest(planes(logits[0]))[0]

    def read(group: Array) -> tuple[Array, Array, Array]:
        background, *objects = planes(group)
        identity, best = _first_highest(objects)
        top = jnp.maximum(background, best)
        total = top + jnp.log(functools.reduce(operator.add, (jnp.exp(x - top) for x in (background, *objects))))
        return identity + 1, jnp.exp(best - total), background - total

    # Unrolled: XLA's CPU backend would run a loop on one core.
    identity, best, background = zip(*(read(group) for group in logits), strict=True)
    candidates = [jnp.exp(functools.reduce(operator.add, background)), *best]
    winner, _ = _first_highest([jnp.clip(candidate, 1e-5, 1 - 1e-5) for candidate in candidates])
    labels = jnp.zeros_like(winner)
    for group in range(groups):
        labels = jnp.where(winner == group + 1, group * (channels - 1) + identity[group], labels)
    return labels


def _first_highest(planes: Sequence[Array]) -> tuple[Array, Array]:
    """Return the index of the highest plane at each pixel, int32, the first of equals; and its value.

    Comparing plane by plane runs along rows of pixels; XLA's argmax walks across planes at each pixel.
    """
    index, highest = jnp.zeros(planes[0].shape, jnp.int32), planes[0]
    for i, plane in enumerate(planes[1:], 1):
        index = jnp.where(plane > highest, i, index)
        highest = jnp.maximum(plane, highest)
    return index, highest
