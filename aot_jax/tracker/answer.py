"""Labels copied from the device in the background, while it works on the next frame."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from aot_jax.tracker.objects import Slots
from aot_jax.typing import ArrayLike


@dataclass(frozen=True)
class Answer:
    """Labels of one frame, being copied to the host."""

    labels: ArrayLike  # (h, w) int32 slots
    slots: Slots | None = None  # None: labels are ids

    def __post_init__(self) -> None:
        if isinstance(self.labels, jax.Array):
            self.labels.copy_to_host_async()

    def read(self) -> np.ndarray:
        """Wait for the copy; returns (h, w) int32 ids."""
        return np.asarray(self.labels) if self.slots is None else self.slots.to_ids(self.labels)


def one_late(answers: Iterable[Answer]) -> Iterator[np.ndarray]:
    """Yield the ids of each answer once the next has been submitted; an error comes after the ids before it."""
    waiting = None
    try:
        for answer in answers:
            if waiting is not None:
                yield waiting.read()
            waiting = answer
    except Exception:
        if waiting is not None:
            yield waiting.read()
        raise
    if waiting is not None:
        yield waiting.read()
