"""Track in a background thread, forward or backward from a frame with a mask, and report to the page."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable

from aot_jax.browser.session import NOTHING, Session, SessionError
from aot_jax.errors import ReportedError
from aot_jax.io.masks import object_ids
from aot_jax.io.sources import read_ahead
from aot_jax.tracker.checks import TrackError
from aot_jax.tracker.depth import Pace
from aot_jax.tracker.tracker import Tracker

DIRECTIONS = ("forward", "backward", "both")
REFERENCES = 6  # most given frames memorised before a run: the nearest ones, opposite to its direction
NICENESS = 5  # nice value of the tracking thread and of XLA's threads that it starts, for a responsive page
SMOOTHING = 0.1  # weight of the newest frame in the displayed speed


class Tracking:
    """The tracker of a page and its background thread.

    Args:
        session: state of the page.
        make_tracker: returns a tracker; called when the first run starts.
        depths: numbers of LSTT layers that the network can run, ascending.
        save_every: frames between saved states of the tracker.
    """

    def __init__(
        self, session: Session, make_tracker: Callable[[], Tracker], depths: list[int], save_every: int = 100
    ) -> None:
        self.session, self.depths, self.depth = session, depths, depths[-1]
        self._save_every = save_every
        self.fps = 0.0  # frames a second to reach by choosing the depth; 0: always `depth`
        self._make_tracker = make_tracker
        self._tracker: Tracker | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._pace: Pace | None = None

    @property
    def running(self) -> bool:
        """Tell whether a run is in progress."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, direction: str, frame: int) -> None:
        """Start a run from the mask at `frame`, or else from the nearest frame with a mask opposite to `direction`.

        Raises:
            SessionError: the direction is unknown, a run is in progress, or there is no mask.
        """
        if direction not in DIRECTIONS:
            raise SessionError(f"{direction!r} is no direction: {', '.join(DIRECTIONS)}")
        if self.running:
            raise SessionError("tracking is on already; stop it first")
        begin = self._begin(direction, self.session.check(frame))
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(direction, begin), name="tracking", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the run after the current frame."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until the run has ended, if one is in progress."""
        thread = self._thread  # `_run` sets it to None at its end
        if thread is not None:
            thread.join()

    def set_depth(self, depth: int) -> None:
        """Set the number of LSTT layers from the next frame on.

        Raises:
            SessionError: the network cannot run at this depth.
        """
        if depth not in self.depths:
            raise SessionError(f"depth {depth} is none of {self.depths}")
        self.depth, self.fps, self._pace = depth, 0.0, None
        self.session.say({"type": "depth", "depth": depth, "fps": 0})

    def set_rate(self, fps: float) -> None:
        """Choose the depth from measured times to reach `fps` frames a second; 0: always use `depth`.

        Raises:
            SessionError: the number is out of range.
        """
        if not 0 <= fps < math.inf:
            raise SessionError(f"{fps} frames a second cannot be reached; give a number from 0 on")
        self.fps = fps if fps > 0 and len(self.depths) > 1 else 0.0
        self._pace = Pace(fps, self.depths[-1]) if self.fps else None

    def _begin(self, direction: str, frame: int) -> int:
        status, given = self.session.status, self.session.given()
        if direction == "both":
            if not given:
                raise SessionError("draw or load a mask of the objects first")
            return given[0]
        step = -1 if direction == "forward" else 1  # search against the direction of tracking
        while 0 <= frame < len(status):
            if status[frame] != NOTHING:
                return frame
            frame += step
        raise SessionError(
            f"no frame {'before' if step < 0 else 'after'} this one has a mask to go {direction} from: draw one here"
        )

    def _run(self, direction: str, begin: int) -> None:
        say, text = self.session.say, ""
        if sys.platform == "linux":  # on other systems it would apply to the whole process
            os.nice(NICENESS)
        say({"type": "running", "running": True})
        try:
            if self._tracker is None:
                self.session.notice("Compiling the network; the first frames take longer.", "info")
                self._tracker = self._make_tracker()
            for way in ("forward", "backward") if direction == "both" else (direction,):
                if not self._stop.is_set():
                    self._way(self._tracker, way, begin)
            text = "Stopped." if self._stop.is_set() else "Done."
        except (ReportedError, OSError) as error:
            self.session.notice(str(error))
        except Exception as error:  # report any error to the page; the server keeps running
            self.session.notice(f"tracking ended with {type(error).__name__}: {error}")
            self._tracker = None
        finally:
            self.session.save()
            self._thread = None
            say({"type": "running", "running": False, "text": text})

    def _way(self, tracker: Tracker, way: str, begin: int) -> None:
        session, step = self.session, 1 if way == "forward" else -1
        given = set(session.given())
        resumed = self._resume(tracker, way, begin)
        if not resumed:
            if step > 0 or begin > self._first_mask():
                session.record.drop()  # masks that it counts as finished are replaced
            self._memorise(tracker, way, begin)
        known = set(tracker.ids)
        started, speed, done = time.perf_counter(), 0.0, 0
        last, first = begin, begin + step * resumed
        total = (len(session.status) - first if step > 0 else first + 1) or 1
        frames = session.frames.from_frame(first) if step > 0 else session.source.backward(first + 1)
        for frame in read_ahead(frames):
            if self._stop.is_set():
                break
            if frame.index >= len(session.status):  # more frames than the file states
                session.set_count(frame.index + 1)
            last, pace = frame.index, self._pace  # which the page may change at any time
            given_mask = session.labels(last) if last == begin or last in given else None
            if given_mask is not None and given_mask.any():
                # The given mask is complete: objects that it lacks are absent in this frame.
                tracker.step(frame.pixels, given_mask, replace=True)
                known.update(object_ids(given_mask))
            else:
                labels = tracker.step(frame.pixels, depth=self.depth if pace is None else pace.depth)
                session.track(last, labels, lost=not known.issubset(object_ids(labels)))
            now = time.perf_counter()
            seconds, started, done = now - started, now, done + 1
            if pace is not None and given_mask is None:
                pace.measured(seconds)
            speed = 1 / seconds if done < 3 else speed + SMOOTHING * (1 / seconds - speed)
            left = max(0, total - done) / max(speed, 1e-6)
            session.say({"type": "frame", "index": last, "status": session.status[last], "speed": speed, "left": left})
            if done % self._save_every == 0:
                self._record(tracker, way, last)
        else:
            if step > 0:
                session.set_count(last + 1)
            self._record(tracker, way, None)
            return
        self._record(tracker, way, last)

    def _resume(self, tracker: Tracker, way: str, begin: int) -> bool:
        """Load the tracker's state after frame `begin`, if there is one; else reset the tracker."""
        tracker.reset()
        state = self.session.record.state(way, begin)
        if state is None:
            return False
        try:
            tracker.load_state(state)
        except TrackError:  # of a tracker with other options
            return False
        return True

    def _memorise(self, tracker: Tracker, way: str, begin: int) -> None:
        """Memorise the given masks nearest to `begin`, opposite to the direction."""
        session, given = self.session, self.session.given()
        nearest = (
            [i for i in given if i < begin][-REFERENCES:]
            if way == "forward"
            else [i for i in given if i > begin][:REFERENCES][::-1]
        )
        for index in nearest:
            tracker.step(session.frames.pixels(index), session.labels(index))

    def _record(self, tracker: Tracker, way: str, frame: int | None) -> None:
        """Record how far a run got, for `track.py --resume`, if there are all masks that it would have made so far.

        Args:
            tracker: the tracker after the last frame.
            way: direction.
            frame: last frame tracked; None: all frames of this direction are.
        """
        record, status, begin = self.session.record, self.session.status, self._first_mask()
        if way == "forward" and NOTHING not in status[begin : None if frame is None else max(frame, begin) + 1]:
            if frame is None:
                record.save("backward" if NOTHING in status else "done")
            elif frame >= begin:
                record.save("forward", frame, tracker.save_state)
        elif way == "backward" and NOTHING not in status[frame or 0 :]:
            if frame is None:
                record.save("done")
            elif frame <= begin:
                record.save("backward", frame, tracker.save_state)

    def _first_mask(self) -> int:
        """Return the number of the first given frame, or else of the first with a mask."""
        status, given = self.session.status, self.session.given()
        return given[0] if given else next((i for i, kind in enumerate(status) if kind != NOTHING), 0)
