"""Several videos at once on one device, for throughput: frames of trackers that are alike run as one batch.

Each tracker keeps its own state, so videos may begin, end and get masks at any time, and each has the same results as
alone, up to rounding.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from aot_jax.tracker import programs
from aot_jax.tracker.answer import Answer
from aot_jax.tracker.checks import TrackError, check_frame
from aot_jax.tracker.stream import Picture, StreamState
from aot_jax.tracker.tracker import Tracker


class FrameTracker(Protocol):
    """What evaluation calls of a `Tracker`; trackers of other classes run alone."""

    def reset(self) -> None:
        """Forget the video."""

    def submit(self, frame: np.ndarray, mask: np.ndarray | None = None) -> Answer:
        """Segment the next frame; see `Tracker.submit`."""


class Next(NamedTuple):
    """The next frame of a video."""

    tracker: FrameTracker
    frame: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray | None = None  # (h, w) ids


def advance_together(frames: Sequence[Next]) -> list[Answer | TrackError]:
    """Segment the next frame of each video, those that are alike as one batch, without waiting for the device.

    Frames are alike if they have no mask and their videos have the same size, number of groups of objects and network.
    Only the programs of 2, 4, 8 ... videos are compiled: five that are alike run as four and one.

    Args:
        frames: of different trackers.

    Returns:
        For each frame its answer, or the error for which `Tracker.step` would refuse it.
    """
    answers: dict[int, Answer | TrackError] = {}
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, (tracker, frame, mask) in enumerate(frames):
        try:
            if mask is not None or not isinstance(tracker, Tracker) or not _may_share(tracker):
                answers[i] = tracker.submit(frame, mask)
            else:
                check_frame(frame, tracker.states[0].frame_size)
                alike[_kind(tracker)].append(i)
        except TrackError as error:
            answers[i] = error
    for places in alike.values():
        while places:
            count = 1 << (len(places).bit_length() - 1)
            batch, places = places[:count], places[count:]
            answers |= zip(batch, _advance([frames[i] for i in batch]), strict=True)
    return [answers[i] for i in range(len(frames))]


def _may_share(tracker: Tracker) -> bool:
    """Tell whether a tracker's frames may run in a batch: if it has one stream and a constant depth."""
    return len(tracker.states) == 1 and tracker.target_fps is None


def _kind(tracker: Tracker) -> Hashable:
    """Return what trackers must share to run as one batch."""
    model, (stream,), (state,) = tracker.model, tracker.streams, tracker.states
    # A memory with a limit evicts by its capacity, which may then not grow to that of the others.
    limited = state.memory.capacity if stream.max_frames else 0
    return model.module, id(model.params), stream.view, stream.depth, state.frame_size, state.groups, limited


def _advance(videos: Sequence[Next]) -> list[Answer]:
    """Segment and memorise the next frame of videos that are alike."""
    if len(videos) == 1:
        return [videos[0].tracker.submit(videos[0].frame)]
    trackers, frames, _ = zip(*videos, strict=True)
    (stream,), network = trackers[0].streams, (trackers[0].model.module, trackers[0].model.params)
    memories, index, keep = zip(*(one.streams[0].prepare_write(one.states[0]) for one in trackers), strict=True)
    # All memories grow to one capacity and keep it, so that programs are compiled for few shapes.
    capacity = max(memory.capacity for memory in memories)
    memories = tuple(x if x.capacity == capacity else programs.grow(x, capacity=capacity) for x in memories)
    padded = [programs.pad(frame, stream.view.flip) for frame in frames]
    logits, frame_kv = programs.step_all(*network, memories, padded, size=stream.view.size, depth=stream.depth)
    used = np.stack([tracker.slots.used() for tracker in trackers])
    due = np.array(index, np.int32), np.array(keep)
    memories, labels, logits = programs.memorize_all(*network, memories, frame_kv, logits, used, *due, view=stream.view)
    for i, tracker in enumerate(trackers):
        picture = Picture(index[i], frames[i], labels[i])
        tracker.states = (StreamState(memories[i], logits[i], picture, tracker.states[0].references),)
    return [Answer(found, tracker.slots) for found, tracker in zip(labels, trackers, strict=True)]
