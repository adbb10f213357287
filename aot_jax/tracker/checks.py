"""Checks of the frames and masks given to a tracker."""

from collections.abc import Collection

import numpy as np

from aot_jax.errors import ReportedError
from aot_jax.io.masks import object_ids
from aot_jax.typing import Size


class TrackError(ReportedError):
    """A frame, mask or depth that a tracker cannot take."""


def check_frame(frame: np.ndarray, size: Size | None) -> np.ndarray:
    """Check a frame and return it, (h, w, 3) uint8; `size` is that of the frames before, None for the first.

    Raises:
        TrackError: for another shape, type or size.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
        raise TrackError(
            f"a frame is (height, width, 3) uint8 RGB, but this one has shape {frame.shape} and type {frame.dtype}: "
            "read it with aot_jax.io.frames.read_frame, or convert it"
        )
    if size is not None and frame.shape[:2] != size:
        raise TrackError(
            f"this frame is {_text(frame.shape)} but those before were {_text(size)} (height x width): "
            "resize it, or reset() the tracker for another video"
        )
    return frame


def check_mask(mask: np.ndarray, frame: np.ndarray, known: Collection[int], max_objects: int) -> np.ndarray:
    """Check a frame's mask and return it as (h, w) int32; `known` are the ids tracked so far.

    Raises:
        TrackError: for another shape or type, ids out of range, or too many objects.
    """
    mask = np.asarray(mask)
    if mask.dtype == bool:
        mask = mask.astype(np.int32)
    if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
        raise TrackError(
            f"a mask is (height, width) integers, but this one has shape {mask.shape} and type {mask.dtype}: "
            "read it with aot_jax.io.masks.read_mask, or convert it"
        )
    if mask.shape != frame.shape[:2]:
        raise TrackError(
            f"the mask is {_text(mask.shape)} but its frame is {_text(frame.shape)} (height x width): "
            "give a mask of the frame's own size (resize it with nearest neighbour)"
        )
    if mask.min() < 0 or mask.max() > np.iinfo(np.int32).max:
        raise TrackError(
            f"ids in a mask are 0 .. 2147483647, but this one holds {mask.min()} .. {mask.max()}: renumber them"
        )
    total = len(set(known) | set(object_ids(mask)))
    if total > max_objects:
        raise TrackError(
            f"the mask makes it {total} objects, but this tracker takes {max_objects}: if the mask was "
            "resized with interpolation its edges hold false ids, else raise max_objects"
        )
    return mask.astype(np.int32)


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
