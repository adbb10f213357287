"""Let Ctrl-C, or SIGTERM, end a run after the frame at hand."""

import signal
import sys
from types import FrameType
from typing import Any


class Stop:
    """A context in which the first signal only sets `requested`; the second interrupts at once.

    Outside of the main thread, where signals cannot be caught, it changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this frame; once more stops at once", file=sys.stderr, flush=True)

    def __enter__(self) -> "Stop":
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        except ValueError:
            self._before = {}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
