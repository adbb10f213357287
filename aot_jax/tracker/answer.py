"""Labels on their way from the device, so that it can work on the next frame before they are read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from aot_jax.tracker.objects import Slots
from aot_jax.typing import ArrayLike


@dataclass(frozen=True)
class Answer:
    """Labels of one frame, on their way."""

    labels: ArrayLike  # (h, w) int32 slots
    slots: Slots

    def __post_init__(self) -> None:
        if isinstance(self.labels, jax.Array):
            self.labels.copy_to_host_async()

    def read(self) -> np.ndarray:
        """Wait for them; returns (h, w) int32 ids."""
        return self.slots.to_ids(self.labels)


def one_late(answers: Iterable[Answer]) -> Iterator[np.ndarray]:
    """Read each answer once the next one is on its way; what fails comes after the answers before it."""
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
