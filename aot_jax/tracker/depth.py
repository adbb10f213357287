"""Choose the depth of a scalable network while it runs, to keep a number of frames a second."""

SMOOTHING = 0.2  # weight of the newest frame in the average time
TOO_SLOW = 1.05  # times the time that a frame may take: one layer less
ROOM = 0.85  # times that time, at most, for what one layer more is expected to take
PATIENCE = 8  # frames at a depth before it is left again


class Pace:
    """Depth by measured time, with hysteresis: it leaves a depth only after some frames and by a clear margin.

    Args:
        fps: frames a second wanted.
        depth: the deepest, and the first.

    Raises:
        ValueError: if fps is not positive.
    """

    def __init__(self, fps: float, depth: int) -> None:
        if not fps > 0:
            raise ValueError(f"target_fps is {fps}; it is above 0, as in 25")
        self._allowed = 1 / fps  # seconds
        self._deepest = depth
        self.depth = depth
        self._seconds: float | None = None  # average of a frame at this depth
        self._frames = 0  # at this depth
        # Time with a layer more, over time without; learned when a depth is left, layers of one size until then.
        self._ratio = {d: (d + 2) / (d + 1) for d in range(1, depth)}
        self._before: tuple[int, float] | None = None  # the depth left last and its seconds
        self._seen: set[tuple] = set()  # kinds of frames

    def measured(self, seconds: float, kind: tuple = ()) -> None:
        """Take the time that the last frame took at `depth`; changes `depth` where it should.

        Args:
            seconds: of the frame.
            kind: what its programs depend on; the first frame of a kind compiles and does not count.
        """
        compiled = (self.depth, *kind)
        if kind and compiled not in self._seen:
            self._seen.add(compiled)
            return
        old = self._seconds
        self._seconds = seconds if old is None else old + SMOOTHING * (seconds - old)
        self._frames += 1
        if self._frames < PATIENCE:
            return
        average = self._seconds
        if self._before is not None:
            self._learn_ratio(*self._before, average)
        if average > TOO_SLOW * self._allowed and self.depth > 1:
            self._go(self.depth - 1, average)
        elif self.depth < self._deepest and average * self._ratio[self.depth] < ROOM * self._allowed:
            self._go(self.depth + 1, average)

    def _go(self, depth: int, average: float) -> None:
        self._before = self.depth, average
        self.depth, self._seconds, self._frames = depth, None, 0

    def _learn_ratio(self, left: int, before: float, now: float) -> None:
        shallow, deep = (now, before) if left > self.depth else (before, now)
        self._ratio[min(left, self.depth)] = max(deep / shallow, 1.0)
        self._before = None
