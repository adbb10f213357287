"""Several videos at once on one device, for throughput: frames of trackers that are alike run as one batch.

Each tracker keeps its own state, so videos may begin, end and get masks when they like, and every one comes out as it
does alone, up to rounding.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from aot_jax.tracker import programs
from aot_jax.tracker.answer import Answer
from aot_jax.tracker.checks import TrackError, check_frame
from aot_jax.tracker.stream import Picture, StreamState
from aot_jax.tracker.tracker import Tracker

Item = tuple[np.ndarray, np.ndarray | None]  # a frame (h, w, 3) uint8, and its mask (h, w) of ids or None


class Next(NamedTuple):
    """The next frame of a video under way."""

    tracker: Tracker
    frame: np.ndarray  # (h, w, 3) uint8
    mask: np.ndarray | None = None  # (h, w) ids


def track_together(
    videos: Iterable[Iterable[Item]], make_tracker: Callable[[], Tracker], at_once: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Track videos, up to `at_once` of them side by side; where one ends the next begins.

    Only videos of one size with equally many groups of objects share a batch, so it pays to have such videos in a row.

    Args:
        videos: for each its frames and masks, as `Tracker.step` takes them.
        make_tracker: makes a tracker; called `at_once` times at most.
        at_once: videos side by side.

    Yields:
        The number of a video, from 0, and (h, w) int32 ids, the labels of its next frame; once the device is at work
        on the next frames.

    Raises:
        TrackError: as `Tracker.step`; its `video` is the number of the video.
    """
    coming = enumerate(videos)

    def lane() -> Iterator[tuple[int, Next]]:
        tracker = None
        for number, items in coming:
            tracker = tracker or make_tracker()
            tracker.reset()
            for frame, mask in items:
                yield number, Next(tracker, frame, mask)

    waiting: list[tuple[int, Answer]] = []
    for side_by_side in zip_longest(*(lane() for _ in range(at_once))):
        numbers, frames = zip(*(item for item in side_by_side if item is not None), strict=True)
        try:
            answers = advance_together(frames)
        except TrackError as error:
            error.video = None if error.video is None else numbers[error.video]
            raise
        yield from ((number, answer.read()) for number, answer in waiting)
        waiting = list(zip(numbers, answers, strict=True))
    yield from ((number, answer.read()) for number, answer in waiting)


def advance_together(frames: Sequence[Next]) -> list[Answer]:
    """Segment the next frame of each video, those that are alike as one batch; nothing waits for the device.

    Raises:
        TrackError: as `Tracker.step`; its `video` is the place in `frames`.
    """
    answers: dict[int, Answer] = {}
    alike: dict[tuple, list[int]] = defaultdict(list)
    for i, (tracker, frame, mask) in enumerate(frames):
        try:
            if tracker.target_fps is not None:
                raise TrackError("target_fps is about one video at a time")
            if mask is not None or len(tracker.states) != 1:
                answers[i] = tracker.submit(frame, mask)
                continue
            check_frame(frame, tracker.states[0].frame_size)
        except TrackError as error:
            error.video = i
            raise
        model, stream, state = tracker.model, tracker.streams[0], tracker.states[0]
        alike[model.module, id(model.params), stream.view, stream.depth, state.frame_size, state.groups].append(i)
    for places in alike.values():
        while places:
            count = 1 << (len(places).bit_length() - 1)  # a power of two, so that few programs are compiled
            batch, places = places[:count], places[count:]
            answers |= zip(batch, _advance([frames[i] for i in batch]), strict=True)
    return [answers[i] for i in range(len(frames))]


def _advance(videos: Sequence[Next]) -> list[Answer]:
    """Segment and memorise the next frame of videos that are alike."""
    first = videos[0].tracker
    if len(videos) == 1:
        return [first.submit(videos[0].frame)]
    network, view, depth = (first.model.module, first.model.params), first.streams[0].view, first.depth
    states = [tracker.states[0] for tracker, _, _ in videos]
    rooms = [tracker.streams[0].make_room(tracker.states[0]) for tracker, _, _ in videos]
    memories, index, keep = zip(*rooms, strict=True)
    images = programs.prepare_all([frame for _, frame, _ in videos], view)
    logits, frame_kv = programs.step_all(*network, memories, images, depth=depth)
    used = np.stack([tracker.slots.used() for tracker, _, _ in videos])
    labels, masks, logits = programs.read_all(network[0], logits, used, view)
    memories = programs.memorize_all(*network, memories, frame_kv, masks, np.array(index, np.int32), np.array(keep))
    for i, ((tracker, frame, _), state) in enumerate(zip(videos, states, strict=True)):
        picture = Picture(index[i], frame, labels[i])
        tracker.states = (StreamState(memories[i], logits[i], picture, state.references),)
    return [Answer(own, tracker.slots) for own, (tracker, _, _) in zip(labels, videos, strict=True)]
