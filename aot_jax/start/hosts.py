"""Several processes of one run: how they connect, and how they stop together."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any


def join_hosts(asked: bool, coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Connect to the other processes of a run on many hosts, if asked or if Slurm has started several tasks.

    Args:
        asked: connect even without `coordinator` or Slurm.
        coordinator: HOST:PORT of process 0; None: detected from the cluster's manager, like the next two.
        processes: number of processes.
        process: index of this one, from 0.
    """
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    if asked or coordinator or slurm:
        import jax

        jax.distributed.initialize(coordinator, processes, process)


def any_host(answer: bool) -> bool:
    """Tell whether the answer of any process is True. All processes must call this; it waits for all."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    return answer if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(answer)).any())


class StopSignal:
    """Context manager in which SIGTERM or Ctrl-C only sets `asked`, so that a loop can save and stop.

    A second Ctrl-C interrupts at once. Outside the main thread, where signals cannot be caught, it has no effect.

    Args:
        saying: start of the message printed at the first signal.
    """

    def __init__(self, saying: str) -> None:
        self._saying = saying
        self.asked: int | None = None  # number of the signal received, if any
        self._old: dict[int, Any] = {}

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
        print(f"\n{self._saying}; Ctrl-C once more stops at once", file=sys.stderr, flush=True)

    def agreed(self, now: bool) -> bool:
        """Tell whether all processes stop at this step. Several processes exchange their answers only with `now`."""
        import jax

        return (now or jax.process_count() == 1) and any_host(self.asked is not None)

    def __enter__(self) -> "StopSignal":
        with contextlib.suppress(ValueError):
            self._old = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
