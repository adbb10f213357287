"""Track objects through a video: a person's ids, new objects, memory policy, depth.

tracker = Tracker(load_model("aost_r50", checkpoint))
labels = tracker.step(first_frame, first_mask)
for frame in frames:
    labels = tracker.step(frame)
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aot_jax.network import Model
from aot_jax.preprocess import resize_nearest
from aot_jax.tracker.checks import TrackError, check_frame, check_mask
from aot_jax.tracker.depth import Pace
from aot_jax.tracker.saved import SnapshotError, read_snapshot, write_snapshot
from aot_jax.tracker.slots import Slots
from aot_jax.tracker.stream import Stream
from aot_jax.tracker.tta import average_labels, average_probabilities
from aot_jax.typing import Array, Size

MAX_SCALE = 10  # of test-time augmentation; more is a slip


class Tracker:
    """Segments the objects of one video, frame by frame.

    Objects may have any positive integer ids; groups of ten share a pass of the network. With several `scales`, or
    `flip`, every augmentation keeps a memory of its own and probabilities are averaged at the frame's size.

    Args:
        model: from `load_model`.
        depth: LSTT layers to run, 1 .. L for AOST; None: all. `step` may run fewer.
        gap: delta, frames between long-term memory writes; None: `config.memory.gap`; 0: references only.
        max_frames: long-term memory frames at most; None: `config.memory.max_frames`; 0: no limit.
        max_long_edge: limit of the input's long edge in pixels; None: `config.inference.max_long_edge`; 0: no limit.
        scales: of the input, for test-time augmentation.
        flip: also run mirrored, for test-time augmentation.
        output_height: of labels and probabilities in pixels, where they are wanted smaller than the frames (DAVIS at
            full resolution is scored at 480); None: the frame's own.
        max_objects: refuse masks with more ids than this, which are rarely meant.
        target_fps: frames a second to keep by running fewer layers where `depth` is too slow: AOST only; None: always
            `depth`. What a frame takes is measured; the first frames at each depth compile and do not count.

    Raises:
        TrackError: for a depth that the network does not have, a target without depths to choose from, or a number
            out of range.

    Example:
        >>> import numpy as np
        >>> from aot_jax import Tracker, load_model
        >>> model = load_model("quickstart")  # random weights; load_model("aost_r50", "checkpoints/aost_r50"): trained
        >>> tracker = Tracker(model, depth=1)
        >>> frame, mask = np.zeros((32, 48, 3), np.uint8), np.zeros((32, 48), np.uint8)
        >>> mask[8:24, 8:24] = 7
        >>> np.array_equal(tracker.step(frame, mask), mask)
        True
        >>> labels = tracker.step(frame)
        >>> labels.shape, labels.dtype, set(np.unique(labels)) <= {0, 7}
        ((32, 48), dtype('int32'), True)
        >>> tracker.probabilities().shape  # of background and of each of tracker.ids
        (32, 48, 2)
        >>> tracker.step(np.zeros((64, 48, 3), np.uint8))
        Traceback (most recent call last):
        aot_jax.tracker.checks.TrackError: this frame is 64x48 but those before were 32x48 (height x width): ...
    """

    def __init__(
        self,
        model: Model,
        depth: int | None = None,
        *,
        gap: int | None = None,
        max_frames: int | None = None,
        max_long_edge: float | None = None,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        output_height: int | None = None,
        max_objects: int = 1000,
        target_fps: float | None = None,
    ) -> None:
        config = model.config
        self.model = model
        try:
            self.depth = model.module.depth(depth)
        except ValueError as error:
            raise TrackError(str(error)) from None
        for name, value, low in (
            ("gap", gap, 0), ("max_frames", max_frames, 0), ("max_long_edge", max_long_edge, 0),
            ("output_height", output_height, 1), ("max_objects", max_objects, 1),
        ):  # fmt: skip
            if value is not None and value < low:
                raise TrackError(f"{name} is {value}; it is at least {low}")
        if not scales or not all(0 < scale < MAX_SCALE for scale in scales):
            raise TrackError(f"scales are {scales}; each is above 0 and below {MAX_SCALE}")
        self.max_objects = max_objects
        self.output_height = output_height
        self.target_fps = target_fps
        if target_fps is not None and not config.model.scalable:
            raise TrackError(f"target_fps needs a network that runs at several depths, and {config.name} has one only")
        self._options: dict[str, Any] = {
            "depth": self.depth,
            "gap": config.memory.gap if gap is None else gap,
            "max_frames": config.memory.max_frames if max_frames is None else max_frames,
            "max_long_edge": config.inference.max_long_edge if max_long_edge is None else max_long_edge,
            "max_short_edge": config.inference.max_short_edge if len(scales) > 1 else 0,
        }
        mirrors = (False, True) if flip else (False,)
        self._augmentations = [(scale, mirror) for scale in scales for mirror in mirrors]
        self.reset()

    def reset(self) -> None:
        """Forget the video."""
        self._streams: list[Stream] = []
        self._slots = Slots(self.model.config.model.identities)
        self._frame_size: Size | None = None
        self._size: Size = (0, 0)  # of labels, once there is a frame
        try:
            self._pace = None if self.target_fps is None else Pace(self.target_fps, self.depth)
        except ValueError as error:
            raise TrackError(str(error)) from None
        self._compiled: set[tuple] = set()  # kinds of frames seen, each of which compiled programs of its own

    @property
    def ids(self) -> list[int]:
        """Return the ids of the objects tracked, in the order in which they came."""
        return list(self._slots.of)

    def step(
        self,
        frame: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        depth: int | None = None,
        replace: bool = False,
    ) -> np.ndarray:
        """Segment the next frame.

        Args:
            frame: (h, w, 3) uint8 RGB; all frames of a video have one size.
            mask: (h, w) integer ids, 0 background. Needed on the first frame. Later it brings new objects, or corrects
                known ones: it overlays the prediction where it is not 0, and ids in it appear nowhere else.
            depth: LSTT layers to run for this frame, up to the tracker's; None: the tracker's, or what `target_fps`
                allows. Frames with a mask are memorised at full depth. A layer that was not run on a frame does not
                find it in its memory.
            replace: the mask says all of this frame: nothing of the prediction stays beside it.

        Returns:
            (h, w) int32 ids; with `output_height`, at that height.

        Raises:
            TrackError: if the first frame has no mask, a mask has no objects, too many, or another size than its
                frame, or a frame has another size than those before; or if the depth is not 1 .. the tracker's.
        """
        frame = check_frame(frame, self._frame_size)
        depth = self._check_depth(depth)
        if mask is not None:
            mask = check_mask(mask, frame, self._slots.of, self.max_objects)
        if not self._streams:
            if mask is None:
                raise TrackError("the first frame needs a mask: call step(frame, mask)")
            return self._begin(frame, mask)
        if mask is None or not mask.any():
            return self._advance(frame, depth)
        return self._step_with_mask(frame, mask, depth, replace)

    def remove(self, ids: Iterable[int]) -> None:
        """Stop tracking objects, as if they had never been in a mask; their slots are free for others.

        References are memorised again without them, which takes the time of one frame each; predicted frames leave
        the long-term memory of the objects' groups.

        Raises:
            TrackError: for an id that is not tracked.
        """
        ids = sorted(set(ids))
        unknown = [i for i in ids if i not in self._slots.of]
        if unknown:
            raise TrackError(f"cannot remove {unknown}: the objects tracked are {self.ids}")
        slots = self._slots.free(ids)
        if slots:
            for stream in self._streams:
                stream.remove(slots, self._slots.groups)

    def save_state(self, path: str | Path) -> None:
        """Write all that `load_state` needs to go on after the last frame, to one file (npz); it appears whole.

        Raises:
            TrackError: if no frame has been segmented.
            OSError: if the file cannot be written.
        """
        if not self._streams:
            raise TrackError(
                "no frame has been segmented yet, so there is no state to save: call step(frame, mask) first"
            )
        meta = {"settings": self._settings(), "slots": list(self._slots.of.items())}
        write_snapshot(path, meta, self._streams)

    def load_state(self, path: str | Path) -> None:
        """Go on from a state that a tracker of the same network and settings saved: the next frames come out alike.

        Raises:
            TrackError: if the file is no such state; the tracker is as before.
        """
        before = self.__dict__.copy()
        try:
            with read_snapshot(path) as snapshot:
                saved = snapshot.meta["settings"]
                wrong = [
                    f"{name} was {saved.get(name)!r}, is {own!r}"
                    for name, own in self._settings().items()
                    if saved.get(name) != own
                ]
                if wrong:
                    raise SnapshotError(f"{path} is the state of another tracker: {'; '.join(wrong)}")
                self.reset()
                self._make_streams(snapshot.frame_size())
                self._slots.restore(snapshot.meta["slots"])
                snapshot.restore(self._streams, self._slots.groups)
        except SnapshotError as error:
            self.__dict__.update(before)
            raise TrackError(str(error)) from None

    def probabilities(self) -> np.ndarray:
        """Return (h, w, 1 + objects) float32: of background and of each of `ids` in the last frame segmented."""
        if not self._streams:
            raise TrackError("no frame has been segmented yet: call step(frame, mask) first")
        slots = [0, *self._slots.of.values()]
        return np.asarray(average_probabilities(self._streams, self._slots.used(), self._size))[..., slots]

    def _begin(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        ids = np.unique(mask[mask != 0])
        if not ids.size:
            raise TrackError("the first mask has no object, every pixel is 0: give the objects ids above 0")
        self._slots.take(ids.tolist())
        self._make_streams(frame.shape[:2])
        self._refer(frame, [self._slots.from_ids(mask)] * len(self._streams))
        return self._at_output(mask)

    def _make_streams(self, frame_size: Size) -> None:
        height, width = self._frame_size = self._size = frame_size
        if self.output_height:
            self._size = (self.output_height, -(-width * self.output_height // height))
        self._streams = [
            Stream(self.model, self._frame_size, self._size, scale=scale, flip=flip, **self._options)
            for scale, flip in self._augmentations
        ]

    def _advance(self, frame: np.ndarray, depth: int | None) -> np.ndarray:
        start = time.perf_counter()
        run = depth or (self._pace.depth if self._pace else self.depth)
        labels = [stream.advance(frame, self._slots.used(), run) for stream in self._streams]
        found = self._slots.to_ids(self._merge(labels))
        if self._pace and run == self._pace.depth:
            kind = (run, self._streams[0].groups, self._streams[0].memory.capacity)
            if kind in self._compiled:
                self._pace.measured(time.perf_counter() - start)
            self._compiled.add(kind)
        return found

    def _step_with_mask(self, frame: np.ndarray, mask: np.ndarray, depth: int | None, replace: bool) -> np.ndarray:
        given = np.unique(mask[mask != 0]).tolist()
        predicted = [stream.predict(frame, self._slots.used(), depth) for stream in self._streams]
        merged = np.asarray(self._merge(predicted))
        known = [self._slots.of[i] for i in given if i in self._slots.of]
        self._slots.take(given)
        overlay = self._slots.from_ids(self._at_output(mask))

        def laid_over(labels: np.ndarray) -> np.ndarray:
            if replace:
                return overlay
            labels = np.where(np.isin(labels, known), 0, labels)
            return np.where(overlay != 0, overlay, labels).astype(np.int32)

        self._refer(frame, [laid_over(np.asarray(labels)) for labels in predicted])
        return self._slots.to_ids(laid_over(merged))

    def _refer(self, frame: np.ndarray, labels: list[np.ndarray]) -> None:
        for stream, own in zip(self._streams, labels, strict=True):
            stream.refer(frame, own, self._slots.groups)

    def _at_output(self, mask: np.ndarray) -> np.ndarray:
        return np.array(resize_nearest(mask, self._size))

    def _merge(self, labels: list[Array]) -> Array:
        if len(labels) == 1:
            return labels[0]
        return average_labels(self._streams, self._slots.used(), self._size)

    def _settings(self) -> dict[str, object]:
        """Return what a saved state depends on, as JSON."""
        return {
            "network": self.model.config.name,
            "weights": self.model.checksum,
            "dtype": str(np.dtype(self.model.module.dtype)),
            "output_height": self.output_height,
            "augmentations": [list(pair) for pair in self._augmentations],
            **self._options,
        }

    def _check_depth(self, depth: int | None) -> int | None:
        if depth is None or depth == self.depth:
            return depth
        if not 1 <= depth < self.depth or not self.model.config.model.scalable:
            allowed = f"1 .. {self.depth}" if self.model.config.model.scalable else f"{self.depth}"
            raise TrackError(
                f"depth is {depth}, but this tracker runs at {allowed}; it was made with depth={self.depth}"
            )
        return depth
