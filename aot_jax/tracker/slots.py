"""Which slot each object holds: a person's ids in, slots 1, 2, 3 ... of the network's groups out.

An object keeps its slot for the whole video; one that is removed leaves its slot to the next that comes.
"""

from collections.abc import Iterable

import numpy as np

from aot_jax.tracker.groups import group_count, used_identities
from aot_jax.typing import ArrayLike


class Slots:
    """The objects of one video.

    Args:
        identities: M, slots of one group.
    """

    def __init__(self, identities: int) -> None:
        self._identities = identities
        self.of: dict[int, int] = {}  # id -> slot, in the order in which objects came

    def take(self, ids: Iterable[int]) -> None:
        """Give the lowest free slots to ids that have none."""
        for i in ids:
            if i not in self.of:
                held = set(self.of.values())
                self.of[i] = next(slot for slot in range(1, len(held) + 2) if slot not in held)

    def free(self, ids: Iterable[int]) -> list[int]:
        """Take the slots of ids away; returns them."""
        return [self.of.pop(i) for i in ids]

    def restore(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Give each id its slot, for pairs of both in the order in which objects came.

        Raises:
            ValueError: for ids or slots that no object can have, or that two have.
        """
        pairs = [(int(i), int(slot)) for i, slot in pairs]
        ids, slots = [i for i, _ in pairs], [slot for _, slot in pairs]
        if not all(0 < i < 2**31 for i in ids) or min(slots, default=1) < 1:
            raise ValueError("ids and slots of objects are out of range")
        if len(set(ids)) < len(ids) or len(set(slots)) < len(slots):
            raise ValueError("an id or a slot is held twice")
        self.of = dict(pairs)

    @property
    def groups(self) -> int:
        """Return how many groups hold all objects, at least 1."""
        return group_count(max(self.of.values(), default=1), self._identities)

    def used(self) -> np.ndarray:
        """Return (groups, M + 1) bool: identities that objects hold, and each group's background."""
        return used_identities(set(self.of.values()), self.groups, self._identities)

    def from_ids(self, mask: np.ndarray) -> np.ndarray:
        """Map a mask (h, w) of ids, all of them known, to slots."""
        ids = np.array(sorted(self.of))
        slots = np.array([self.of[i] for i in ids.tolist()])
        return np.where(mask == 0, 0, slots[np.searchsorted(ids, mask).clip(max=len(ids) - 1)]).astype(np.int32)

    def to_ids(self, labels: ArrayLike) -> np.ndarray:
        """Map labels (h, w) in slots to ids."""
        table = np.zeros(max(self.of.values(), default=0) + 1, np.int32)
        for i, slot in self.of.items():
            table[slot] = i
        return table[np.asarray(labels)]
