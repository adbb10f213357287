"""Track objects through a video: a person's ids, new objects, memory policy, depth.

tracker = Tracker(load_model("aost_r50", checkpoint))
labels = tracker.step(first_frame, first_mask)
for frame in frames:
    labels = tracker.step(frame)
"""

import numpy as np

from aot_jax.checkpoint import Model
from aot_jax.grouping import group_count, used_identities
from aot_jax.preprocess import resize_nearest
from aot_jax.stream import Stream
from aot_jax.tta import average_labels, average_probabilities
from aot_jax.typing import Size


class TrackError(ValueError):
    """A frame, mask or depth that a tracker cannot take."""


class Tracker:
    """Segments the objects of one video, frame by frame.

    Objects may have any positive integer ids; groups of ten share a pass of the network. With several `scales`, or
    `flip`, every augmentation keeps a memory of its own and probabilities are averaged at the frame's size.

    Args:
        model: from `load_model`.
        depth: LSTT layers to run, 1 .. L for AOST; None: all.
        gap: delta, frames between long-term memory writes; None: `config.memory.gap`; 0: references only.
        max_frames: long-term memory frames at most; None: `config.memory.max_frames`; 0: no limit.
        max_long_edge: limit of the input's long edge in pixels; None: `config.inference.max_long_edge`; 0: no limit.
        scales: of the input, for test-time augmentation.
        flip: also run mirrored, for test-time augmentation.
        output_height: of labels and probabilities in pixels, where they are wanted smaller than the frames (DAVIS at
            full resolution is scored at 480); None: the frame's own.
        max_objects: refuse masks with more ids than this, which are rarely meant.

    Raises:
        TrackError: for a depth that the network does not have.
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
    ) -> None:
        config = model.config
        self.model = model
        try:
            self.depth = model.module.depth(depth)
        except ValueError as error:
            raise TrackError(str(error)) from None
        self.max_objects = max_objects
        self.output_height = output_height
        self._identities = config.model.identities
        self._options = {
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
        self._slots: dict[int, int] = {}  # id -> slot
        self._frame_size: Size | None = None
        self._size: Size | None = None  # of labels

    @property
    def ids(self) -> list[int]:
        """Return the ids of the objects tracked, in the order in which they came."""
        return list(self._slots)

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Segment the next frame.

        Args:
            frame: (h, w, 3) uint8 RGB; all frames of a video have one size.
            mask: (h, w) integer ids, 0 background. Needed on the first frame. Later it brings new objects, or corrects
                known ones: it overlays the prediction where it is not 0, and ids in it appear nowhere else.

        Returns:
            (h, w) int32 ids; with `output_height`, at that height.

        Raises:
            TrackError: if the first frame has no mask, a mask has no objects, too many, or another size than its
                frame, or a frame has another size than those before.
        """
        frame = self._check_frame(frame)
        if mask is not None:
            mask = self._check_mask(mask, frame)
        if not self._streams:
            if mask is None:
                raise TrackError("the first frame needs a mask: call step(frame, mask)")
            return self._begin(frame, mask)
        if mask is None or not mask.any():
            labels = [stream.advance(frame, self._used()) for stream in self._streams]
            return self._ids_of(self._merge(labels))
        return self._step_with_mask(frame, mask)

    def probabilities(self) -> np.ndarray:
        """Return (h, w, 1 + objects) float32: of background and of each of `ids` in the last frame segmented."""
        if not self._streams:
            raise TrackError("no frame has been segmented yet")
        slots = [0, *self._slots.values()]
        return np.asarray(average_probabilities(self._streams, self._used(), self._size))[..., slots]

    def _begin(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        ids = np.unique(mask[mask != 0])
        if not ids.size:
            raise TrackError("the first mask has no object: every pixel is 0")
        self._take_slots(ids)
        height, width = self._frame_size = frame.shape[:2]
        self._size = (height, width)
        if self.output_height:
            self._size = (self.output_height, -(-width * self.output_height // height))
        self._streams = [
            Stream(self.model, self._frame_size, self._size, scale=scale, flip=flip, **self._options)
            for scale, flip in self._augmentations
        ]
        self._refer(frame, [self._slots_of(mask)] * len(self._streams))
        return self._at_output(mask)

    def _step_with_mask(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        given = np.unique(mask[mask != 0])
        predicted = [stream.predict(frame, self._used()) for stream in self._streams]
        merged = np.asarray(self._merge(predicted))
        known = [self._slots[i] for i in given.tolist() if i in self._slots]
        self._take_slots(given)
        overlay = self._slots_of(self._at_output(mask))

        def laid_over(labels: np.ndarray) -> np.ndarray:
            labels = np.where(np.isin(labels, known), 0, labels)
            return np.where(overlay != 0, overlay, labels).astype(np.int32)

        self._refer(frame, [laid_over(np.asarray(labels)) for labels in predicted])
        return self._ids_of(laid_over(merged))

    def _refer(self, frame: np.ndarray, labels: list[np.ndarray]) -> None:
        groups = group_count(max(self._slots.values()), self._identities)
        for stream, own in zip(self._streams, labels, strict=True):
            stream.refer(frame, own, groups)

    def _at_output(self, mask: np.ndarray) -> np.ndarray:
        return np.array(resize_nearest(mask, self._size))

    def _merge(self, labels: list) -> np.ndarray:
        if len(labels) == 1:
            return labels[0]
        return average_labels(self._streams, self._used(), self._size)

    def _take_slots(self, ids: np.ndarray) -> None:
        for i in ids.tolist():
            self._slots.setdefault(i, len(self._slots) + 1)

    def _used(self) -> np.ndarray:
        slots = set(self._slots.values())
        return used_identities(slots, group_count(max(slots), self._identities), self._identities)

    def _slots_of(self, mask: np.ndarray) -> np.ndarray:
        """Map ids (h, w) to slots."""
        ids = np.array(sorted(self._slots))
        slots = np.array([self._slots[i] for i in ids.tolist()])
        return np.where(mask == 0, 0, slots[np.searchsorted(ids, mask).clip(max=len(ids) - 1)]).astype(np.int32)

    def _ids_of(self, labels: np.ndarray) -> np.ndarray:
        """Map slots (h, w) to ids."""
        table = np.zeros(max(self._slots.values()) + 1, np.int32)
        for i, slot in self._slots.items():
            table[slot] = i
        return table[np.asarray(labels)]

    def _check_frame(self, frame: np.ndarray) -> np.ndarray:
        frame = np.asarray(frame)
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise TrackError(
                f"a frame is (height, width, 3) uint8 RGB, but this one has shape {frame.shape} and type {frame.dtype}"
            )
        if self._frame_size is not None and frame.shape[:2] != self._frame_size:
            raise TrackError(
                f"this frame is {_text(frame.shape)} but those before were {_text(self._frame_size)} (height x width): "
                "resize it, or reset() the tracker for another video"
            )
        return frame

    def _check_mask(self, mask: np.ndarray, frame: np.ndarray) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.dtype == bool:
            mask = mask.astype(np.int32)
        if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
            raise TrackError(
                f"a mask is (height, width) integers, but this one has shape {mask.shape} and type {mask.dtype}"
            )
        if mask.shape != frame.shape[:2]:
            raise TrackError(
                f"the mask is {_text(mask.shape)} but its frame is {_text(frame.shape)} (height x width): "
                "give a mask of the frame's own size (resize it with nearest neighbour)"
            )
        if mask.min() < 0 or mask.max() > np.iinfo(np.int32).max:
            raise TrackError(f"ids in a mask are 0 .. 2147483647, but this one holds {mask.min()} .. {mask.max()}")
        ids = np.unique(mask[mask != 0])
        total = len(self._slots.keys() | set(ids.tolist()))
        if total > self.max_objects:
            raise TrackError(
                f"the mask makes it {total} objects, but this tracker takes {self.max_objects}: if the mask was "
                "resized with interpolation its edges hold false ids, else raise max_objects"
            )
        return mask.astype(np.int32)


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
