"""Choose the depth of a scalable network at run time, to hold a frame rate."""

from aot_jax.tracker.checks import TrackError

SMOOTHING = 0.2  # weight of the newest frame in the average time
TOO_SLOW = 1.05  # ratio of average to allowed time above which depth is reduced by one layer
ROOM = 0.85  # ratio of expected to allowed time below which one layer is added
PATIENCE = 8  # frames at a depth before it may change


class Pace:
    """Depth by measured time, with hysteresis: it changes only after PATIENCE frames and by a clear margin.

    Args:
        fps: frames a second to hold.
        depth: the largest depth, and the initial one.

    Raises:
        TrackError: if fps is not positive.
    """

    def __init__(self, fps: float, depth: int) -> None:
        if not fps > 0:
            raise TrackError(f"target_fps is {fps}; it is above 0, as in 25")
        self._allowed = 1 / fps  # seconds a frame
        self._deepest = depth
        self.depth = depth
        self._seconds: float | None = None  # average time of a frame at this depth
        self._frames = 0  # frames at this depth
        # Ratio of the times at depths d + 1 and d: assumes equal layers until it is measured by changing depth.
        self._ratio = {d: (d + 2) / (d + 1) for d in range(1, depth)}
        self._before: tuple[int, float] | None = None  # previous depth and its average time
        self._seen: set[tuple] = set()  # depth and kind of frames that have compiled

    def measured(self, seconds: float, kind: tuple = ()) -> None:
        """Record the time of the last frame, run at `depth`, and adapt `depth`.

        Args:
            seconds: time of the frame.
            kind: what its compiled programs depend on; the first frame of a kind compiles and does not count.
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
            self._change_depth(self.depth - 1, average)
        elif self.depth < self._deepest and average * self._ratio[self.depth] < ROOM * self._allowed:
            self._change_depth(self.depth + 1, average)

    def _change_depth(self, depth: int, average: float) -> None:
        self._before = self.depth, average
        self.depth, self._seconds, self._frames = depth, None, 0

    def _learn_ratio(self, left: int, before: float, now: float) -> None:
        shallow, deep = (now, before) if left > self.depth else (before, now)
        self._ratio[min(left, self.depth)] = max(deep / shallow, 1.0)
        self._before = None
