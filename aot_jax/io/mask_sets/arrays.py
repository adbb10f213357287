"""Read masks from NumPy files, stacks and animations: a mask, or a layer for each object or frame."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.images import MASKS, MAX_PIXELS, count_pictures, explain_errors, open_image, upright
from aot_jax.io.mask_sets.names import Entry, frame_count
from aot_jax.io.mask_sets.stored import MaskError, Stored, stored_numbers, stored_values
from aot_jax.io.names import Frames, listed
from aot_jax.io.npz import read_npz
from aot_jax.typing import VOID, Size

SUM_TOLERANCE = 0.01  # largest deviation of the sum of a pixel's probabilities from 1; 16-bit floats are inexact


def array_entries(path: Path, frames: Frames | None, size: Size | None, notes: list[str]) -> list[Entry]:
    """Return the masks in a .npy file, or an .npz of one array: one mask, or one for each frame.

    Raises:
        MaskError: the file cannot be read, holds Python objects, or the array is not of a known shape.
    """
    with explain_errors(path, MaskError):
        if path.suffix.lower() == ".npz":
            arrays = read_npz(path)
            if len(arrays) != 1:
                raise MaskError(f"{path}: holds {len(arrays)} arrays, {listed(list(arrays), 5)}; save one as .npy")
            array = next(iter(arrays.values()))
        else:
            array = _load(path)
        if array.dtype.kind not in "biuf":
            raise MaskError(f"{path}: holds values of type {array.dtype}; masks are integers or booleans")
        return layer_entries(path, array, frames, size, notes)


def _load(path: Path) -> np.ndarray:
    """Map a .npy file. Raises MaskError if it holds Python objects."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "Python objects" not in str(error):
            raise
        raise MaskError(f"{path}: holds pickled Python objects; save an array of integers or booleans") from None


def stack_entries(path: Path, frames: Frames | None, notes: list[str]) -> list[Entry]:
    """Return the masks in an image file, which may be a stack or an animation.

    Raises:
        MaskError: the file cannot be read, or is not a mask.
    """
    pages: list[Stored] = []
    with open_image(path, MASKS, MaskError) as (image, head):
        number = count_pictures(image)
        if number == 1:
            return [Entry.of_file(path)]
        if number * image.width * image.height > MAX_PIXELS:
            raise MaskError(f"{path}: its {number} pictures are more than {MAX_PIXELS} pixels; split it")
        for index in range(number):
            image.seek(index)
            image.load()
            pages.append(stored_values(upright(image.copy()), head, path))
    if len({page.size for page in pages}) > 1:
        raise MaskError(f"{path}: its {number} pictures are not of one size; split it")
    if number == frame_count(frames):
        return _entries_of_frames(path, pages, notes)
    if any(page.kind == "colour" for page in pages):
        needed = _frames_of_video(frames)
        raise MaskError(f"{path}: holds {number} pictures in colour{needed}; split it, or give one for each frame")
    return layer_entries(path, np.stack([page.values for page in pages]), frames, None, notes)


def layer_entries(
    path: Path, array: np.ndarray, frames: Frames | None, size: Size | None, notes: list[str]
) -> list[Entry]:
    """Return the masks of an array.

    Args:
        path: its file, for messages.
        array: (h, w); (layers, h, w) or (h, w, layers) with a layer for each frame or object; (h, w, 3 or 4) colours.
        frames: frames of the video, if known.
        size: (h, w) of the frames, if known.
        notes: list to which a line is added for each guess.

    Raises:
        MaskError: it is none of these.
    """
    shape = array.shape
    for axis in reversed(range(array.ndim)):  # axes of batches, as in (objects, 1, h, w) or (1, classes, h, w)
        if array.ndim > 3 and array.shape[axis] == 1:
            array = array.squeeze(axis)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array[..., 0] if array.shape[-1] == 1 else array[0]
    in_colour = array.ndim == 3 and array.dtype == np.uint8 and array.shape[2] in (3, 4) and array.shape[0] > 4
    if in_colour and array.size <= 4 * MAX_PIXELS and array.max() > 1:
        image = Image.fromarray(np.ascontiguousarray(array))
        return [Entry.of_file(path, lambda: stored_values(image, b"", path))]
    last = array.shape[:2] == size != array.shape[1:] if size else array.shape[-1] < min(array.shape[:-1], default=0)
    if array.ndim == 3 and last:
        array = np.moveaxis(array, 2, 0)
    if array.ndim == 2 and array.size <= MAX_PIXELS:
        return [Entry.of_file(path, lambda: stored_numbers(array, path))]
    if array.ndim != 3 or not array.size or array[0].size > MAX_PIXELS:
        raise MaskError(f"{path}: is an array of shape {shape}; a mask is (height, width), or (objects, height, width)")
    if len(array) == frame_count(frames):
        return _entries_of_frames(path, array, notes)
    if len(array) >= VOID or (array.dtype.kind != "f" and any(np.unique(layer).size > 2 for layer in array)):
        raise MaskError(
            f"{path}: {len(array)} layers that are neither one object each nor one frame each"
            f"{_frames_of_video(frames)}; give (height, width)"
        )
    if _starts_with_background(array):
        notes.append(f"{path}: its {len(array)} layers add up to 1: background, then objects 1 to {len(array) - 1}")
        return [Entry.of_file(path, lambda: Stored(array.argmax(0).astype(np.int32), "ids"))]
    notes.append(f"{path}: its {len(array)} layers are taken for objects 1 to {len(array)}, the last on top")

    def load() -> Stored:
        labels, cut = np.zeros(array.shape[1:], np.int32), False
        for i, layer in enumerate(array, start=1):
            stored = stored_numbers(layer, path)
            labels[stored.values > 0] = i
            cut = cut or stored.cut
        return Stored(labels, "ids", cut=cut)

    return [Entry.of_file(path, load)]


def _frames_of_video(frames: Frames | None) -> str:
    count = frame_count(frames)
    return f", and the video has {count} frames" if count else ""


def _starts_with_background(layers: np.ndarray) -> bool:
    """Tell whether layers add up to 1 everywhere and the first, the largest on most of the border, is background."""
    full = 1 if layers.dtype.kind in "bf" else int(layers.max())  # value that stands for probability 1
    deviation = np.abs(layers.sum(0, dtype=np.float64) - full)
    if len(layers) < 2 or not full or not (deviation <= SUM_TOLERANCE * full).all():
        return False
    first = layers.argmax(0) == 0
    border = np.concatenate([first[0], first[-1], first[:, 0], first[:, -1]])
    return bool(border.mean() > 0.5)


def _entries_of_frames(path: Path, layers: Sequence[Stored] | np.ndarray, notes: list[str]) -> list[Entry]:
    """Return a mask for each frame, from pictures or from the layers of an array."""
    notes.append(f"{path}: its {len(layers)} layers are taken for the masks of the {len(layers)} frames")

    def load(i: int) -> Stored:
        layer = layers[i]
        return layer if isinstance(layer, Stored) else stored_numbers(layer, path)

    return [Entry(f"{path}[{i}]", f"{i:05d}", partial(load, i)) for i in range(len(layers))]
