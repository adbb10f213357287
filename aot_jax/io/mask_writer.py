"""Write masks in background threads, each atomically, while the next frames are computed."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from aot_jax.io.masks import write_mask

PENDING = 32  # most masks queued before `write` blocks, to bound memory


class MaskWriter:
    """Context manager that writes palette PNGs in a few threads. Leaving it waits until all are written.

    Raises:
        OSError: a file cannot be written; raised by a later `write`, `flush` or on leaving, naming the file.
    """

    def __init__(self, threads: int = 2) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mask-writer")
        self._pending: deque[Future] = deque()

    def write(self, path: Path, labels: np.ndarray) -> None:
        """Queue a mask (h, w) of ids."""
        while len(self._pending) >= PENDING or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(write_mask, path, labels))

    def flush(self) -> None:
        """Wait until all queued masks are on disk."""
        while self._pending:
            self._pending.popleft().result()

    def __enter__(self) -> "MaskWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._pool.shutdown(cancel_futures=kind is not None)
