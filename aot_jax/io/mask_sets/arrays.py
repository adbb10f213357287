"""Read masks from NumPy files and TIFF stacks: ids, one object, or a layer for each object or frame."""

from pathlib import Path

import numpy as np

from aot_jax.io.images import IMAGES, MAX_PIXELS, count_pictures, explain_errors, open_image
from aot_jax.io.mask_sets.names import Entry
from aot_jax.io.mask_sets.stored import MaskError, Stored, read_image
from aot_jax.io.npz import read_npz


def array_entries(path: Path, count: int | None, notes: list[str]) -> list[Entry]:
    """Return the masks in a .npy file, or an .npz of one array: one mask, or one for each of the `count` frames.

    Raises:
        MaskError: the file cannot be read, holds Python objects, or the array is not of a known shape.
    """
    with explain_errors(path, MaskError):
        if path.suffix.lower() == ".npz":
            arrays = read_npz(path)
            if len(arrays) != 1:
                raise MaskError(f"{path}: holds {len(arrays)} arrays, {', '.join(list(arrays)[:5])}; save one as .npy")
            array = next(iter(arrays.values()))
        else:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype.kind not in "biuf":
            raise MaskError(f"{path}: holds values of type {array.dtype}; masks are integers or booleans")
        return layer_entries(path, array, count, notes)


def stack_entries(path: Path, count: int | None, notes: list[str]) -> list[Entry]:
    """Return the masks in an image file, which may be a stack.

    Raises:
        MaskError: the file cannot be read, or is not a mask.
    """
    pages: list[np.ndarray] = []
    with explain_errors(path, MaskError), path.open("rb") as stream:
        image, _ = open_image(stream, path, IMAGES, MaskError)
        number = count_pictures(image)
        if number == 1:
            return [Entry(str(path), path.stem, lambda: read_image(path))]
        if number * image.width * image.height > MAX_PIXELS:
            raise MaskError(f"{path}: its {number} pictures are more than {MAX_PIXELS} pixels; split it")
        for index in range(number):
            image.seek(index)
            pages.append(np.array(image))
        if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
            raise MaskError(f"{path}: its {number} pictures are not masks of one size in grey or palette; split it")
    return layer_entries(path, np.stack(pages), count, notes)


def layer_entries(path: Path, array: np.ndarray, count: int | None, notes: list[str]) -> list[Entry]:
    """Return the masks of an array (h, w), or (layers, h, w) with a layer for each frame or object."""
    shape = array.shape
    if array.ndim == 3 and shape[-1] == 1:
        array = array[..., 0]
    elif array.ndim == 3 and shape[0] == 1:
        array = array[0]
    if array.ndim == 4 and shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.size <= MAX_PIXELS:
        return [Entry(str(path), path.stem, lambda: Stored(_ids(array, path, notes), "ids"))]
    if array.ndim != 3 or not array.size or array[0].size > MAX_PIXELS:
        raise MaskError(f"{path}: is an array of shape {shape}; a mask is (height, width), or (objects, height, width)")
    if len(array) == count:
        notes.append(f"{path}: its {count} layers are taken for the masks of the {count} frames")
        return [
            Entry(f"{path}[{i}]", f"{i:05d}", lambda i=i: Stored(_ids(array[i], path, notes), "ids"))  # type: ignore[misc]
            for i in range(count)
        ]
    if len(array) > 254 or any(np.unique(layer).size > 2 for layer in array):
        of = f", and the video has {count} frames" if count else ""
        raise MaskError(
            f"{path}: {len(array)} layers that are neither one object each nor one frame each{of}; give (height, width)"
        )
    notes.append(f"{path}: its {len(array)} layers are taken for objects 1 to {len(array)}, the last on top")

    def load() -> Stored:
        labels = np.zeros(array.shape[1:], np.int32)
        for i, layer in enumerate(array, start=1):
            labels[np.asarray(layer) > 0] = i
        return Stored(labels, "ids")

    return [Entry(str(path), path.stem, load)]


def _ids(array: np.ndarray, path: Path, notes: list[str]) -> np.ndarray:
    values = np.asarray(array)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise MaskError(f"{path}: holds NaN or infinity; masks are integers or booleans")
        if (values != np.round(values)).any():
            if values.min() < 0 or values.max() > 1:
                raise MaskError(f"{path}: holds fractions; masks are integers, or probabilities between 0 and 1")
            note = f"{path}: probabilities are cut at 0.5"
            notes += [note] if note not in notes else []
            values = values >= 0.5
    if values.size and (values.min() < 0 or values.max() > 2**31 - 1):
        raise MaskError(f"{path}: holds ids from {values.min()} to {values.max()}; they are from 0 to 2^31 - 1")
    return values.astype(np.int32)
