"""Track objects through a video: the user's ids, new objects, memory policy, depth.

tracker = Tracker(load_model("aost_r50", checkpoint))
labels = tracker.step(first_frame, first_mask)
for frame in frames:
    labels = tracker.step(frame)
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from aot_jax.io.masks import object_ids
from aot_jax.network import Model
from aot_jax.preprocess import resize_nearest
from aot_jax.tracker.answer import Answer, one_late
from aot_jax.tracker.checks import TrackError, check_frame, check_mask
from aot_jax.tracker.depth import Pace
from aot_jax.tracker.objects import Slots
from aot_jax.tracker.options import check_least, make_options
from aot_jax.tracker.saved import read_state, write_state
from aot_jax.tracker.tta import States, Streams, advance, advance_with_mask, average_probabilities


class Tracker:
    """Segments the objects of one video, frame by frame.

    Objects may have any positive integer ids; groups of `config.model.identities`, usually ten, share a pass of the
    network. With several `scales`, or `flip`, every augmentation keeps a memory of its own and probabilities are
    averaged at the frame's size.

    Args:
        model: from `load_model`.
        depth: LSTT layers to run, 1 .. L for AOST; None: all. `step` may run fewer.
        gap: delta, frames between long-term memory writes; None: `config.memory.gap`; 0: references only.
        max_frames: most long-term memory frames; None: `config.memory.max_frames`; 0: no limit.
        max_long_edge: limit of the input's long edge in pixels; None: `config.inference.max_long_edge`; 0: no limit.
        scales: scale factors of the input, for test-time augmentation.
        flip: also run mirrored, for test-time augmentation.
        output_height: height of labels and probabilities in pixels, if other than the frame's (DAVIS at full resolution
            is scored at 480); None: the frame's.
        max_objects: most objects; a mask with more ids is refused, as these are rarely intended.
        target_fps: frames a second to hold by running fewer layers where `depth` is too slow: AOST only; None: always
            `depth`. Frames without a mask are timed, except the first at each depth, number of groups and capacity of
            memory, which may wait for compilation.

    Attributes: `slots` of the objects; `streams`, one for each augmentation, and their `states`.

    Raises:
        TrackError: for a depth that the network lacks, a target without depths to choose, or a number out of range.

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
        self.model = model
        self._options = make_options(model, depth, gap, max_frames, max_long_edge, scales, flip, output_height)
        self.depth = self._options.depth
        check_least("max_objects", max_objects, 1)
        self.max_objects = max_objects
        if target_fps is not None and not model.config.model.scalable:
            name = model.config.name
            raise TrackError(f"target_fps needs a network that runs at several depths, and {name} has one only")
        self.target_fps = target_fps
        self.reset()

    def reset(self) -> None:
        """Forget the video."""
        self.slots = Slots(self.model.config.model.identities)
        self.streams: Streams = ()
        self.states: States = ()
        self._pace = None if self.target_fps is None else Pace(self.target_fps, self.depth)

    @property
    def ids(self) -> list[int]:
        """Return the ids of the objects tracked, in the order in which they came."""
        return list(self.slots.of)

    def step(
        self, frame: np.ndarray, mask: np.ndarray | None = None, *, depth: int | None = None, replace: bool = False
    ) -> np.ndarray:
        """Segment the next frame.

        Args:
            frame: (h, w, 3) uint8 RGB; all frames of a video have one size.
            mask: (h, w) integer ids, 0 background. Needed on the first frame. Later it brings new objects, or corrects
                known ones: it overlays the prediction where it is not 0, and ids in it appear nowhere else.
            depth: LSTT layers to run for this frame, up to the tracker's; None: the tracker's, or what `target_fps`
                allows. Frames with a mask are memorised at full depth. A layer does not memorise a frame on which
                it was not run.
            replace: the mask is complete and replaces the prediction of this frame; else it is laid over it.

        Returns:
            (h, w) int32 ids; with `output_height`, at that height.

        Raises:
            TrackError: if the first frame has no mask, a mask has no objects, too many, or another size than its
                frame, or a frame has another size than those before; or if the depth is not 1 .. the tracker's.
        """
        start = time.perf_counter()
        labels = self.submit(frame, mask, depth=depth, replace=replace).read()
        if self._pace and mask is None and depth in (None, self._pace.depth):
            memory = self.states[0].memory
            self._pace.measured(time.perf_counter() - start, kind=(memory.batch, memory.capacity))
        return labels

    def submit(
        self, frame: np.ndarray, mask: np.ndarray | None = None, *, depth: int | None = None, replace: bool = False
    ) -> Answer:
        """Do what `step` does, without waiting for it: the labels come when the answer is read."""
        frame = check_frame(frame, self.states[0].frame_size if self.states else None)
        self._options.check_depth(depth, self.model.config.model.scalable)
        if mask is not None:
            mask = check_mask(mask, frame, self.slots.of, self.max_objects)
        if not self.states:
            if mask is None:
                raise TrackError("the first frame needs a mask: call step(frame, mask)")
            return self._begin(frame, mask)
        if mask is None or not mask.any():
            run = depth or (self._pace.depth if self._pace else self.depth)
            self.states, labels = advance(self.streams, self.states, frame, self.slots.used(), run)
            return Answer(labels, self.slots)
        given = object_ids(mask)
        slots, used = self.slots.take(given), self.slots.used()
        overlay = self._at_output(slots.from_ids(mask))
        corrected = self.slots.holding(self.ids if replace else given)
        self.states, labels = advance_with_mask(
            self.streams, self.states, frame, used, depth or self.depth, overlay, corrected, slots.groups
        )
        self.slots = slots
        return Answer(labels, slots)

    def stream(
        self,
        frames: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray | None]],
        masks: Mapping[int, np.ndarray] | None = None,
        *,
        depth: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Segment frames one after the other, as `step` does; while one's labels are read, the next is computed.

        Args:
            frames: (h, w, 3) uint8 RGB each, or pairs of a frame and its mask or None.
            masks: (h, w) ids by frame number, from 0, for frames that come without a mask.
            depth: as of `step`.

        Yields:
            Labels of each frame, as `step` returns them. The tracker is then one frame ahead: `probabilities`,
            `save_state` and `remove` refer to that frame. With `target_fps` it waits for every frame, to time it.

        Raises:
            TrackError: as `step`, after the labels of the frames before.
        """
        given = masks or {}
        pairs = (item if isinstance(item, tuple) else (item, given.get(t)) for t, item in enumerate(frames))
        if self._pace:
            return (self.step(frame, mask, depth=depth) for frame, mask in pairs)
        return one_late(self.submit(frame, mask, depth=depth) for frame, mask in pairs)

    def remove(self, ids: Iterable[int]) -> None:
        """Stop tracking objects, as if they had never been in a mask; their slots are free for others.

        References are memorised again without them, which takes the time of one frame each; predicted frames leave
        the long-term memory of the objects' groups.

        Raises:
            TrackError: for an id that is not tracked.
        """
        ids = sorted(set(ids))
        unknown = [i for i in ids if i not in self.slots.of]
        if unknown:
            raise TrackError(f"cannot remove {unknown}: the objects tracked are {self.ids}")
        if ids:
            gone, left = [self.slots.of[i] for i in ids], self.slots.free(ids)
            pairs = zip(self.streams, self.states, strict=True)
            self.states, self.slots = tuple(stream.remove(state, gone, left.groups) for stream, state in pairs), left

    def save_state(self, path: str | Path) -> None:
        """Write the state after the last frame to one file (npz), atomically; `load_state` continues from it.

        Raises:
            TrackError: if no frame has been segmented.
            OSError: if the file cannot be written.
        """
        if not self.states:
            raise TrackError("no frame has been segmented yet, so there is no state to save: call step(frame, mask)")
        write_state(path, self.model, self._options, self.slots, self.states)

    def load_state(self, path: str | Path) -> None:
        """Continue from a state saved by a tracker of the same network and options, with the same results.

        Raises:
            TrackError: if the file is not such a state; the tracker is then unchanged.
        """
        state = read_state(path, self.model, self._options)
        self.reset()
        self.slots, self.streams, self.states = state

    def probabilities(self) -> np.ndarray:
        """Return (h, w, 1 + objects) float32: of background and of each of `ids` in the last frame segmented."""
        if not self.states:
            raise TrackError("no frame has been segmented yet: call step(frame, mask) first")
        slots = [0, *self.slots.of.values()]
        return np.asarray(average_probabilities(self.streams, self.states, self.slots.used()))[..., slots]

    def _begin(self, frame: np.ndarray, mask: np.ndarray) -> Answer:
        ids = object_ids(mask)
        if not ids:
            raise TrackError("the first mask has no object, every pixel is 0: give the objects ids above 0")
        slots, self.streams = self.slots.take(ids), self._options.open_streams(self.model, frame.shape[:2])
        labels = slots.from_ids(mask)
        self.states = tuple(stream.begin(frame, labels, slots.groups) for stream in self.streams)
        self.slots = slots
        return Answer(self._at_output(labels), slots)

    def _at_output(self, mask: np.ndarray) -> np.ndarray:
        return np.array(resize_nearest(mask, self.streams[0].view.output))
