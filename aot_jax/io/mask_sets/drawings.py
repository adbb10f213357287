"""Turn shapes into masks of ids, with one id for an object over the whole video."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from aot_jax.io.images import MAX_PIXELS
from aot_jax.io.mask_sets.names import Entry
from aot_jax.io.mask_sets.stored import MaskError, Stored
from aot_jax.io.names import listed
from aot_jax.typing import VOID, Size

IGNORED = "__ignore__"  # labelme's label of areas that are void
NO_OBJECT = {"_background_": 0, IGNORED: VOID}  # labelme's labels of areas that are no object, and their ids
MAX_SHAPES = 100_000  # most shapes of a video


@dataclass(frozen=True)
class Shape:
    """One shape of an object."""

    key: str  # identifies its object in all frames, or one of `NO_OBJECT`
    name: str  # name of its object, for messages
    draw: Callable[[Size], np.ndarray]  # (h, w) bool
    id: int | None = None  # id of its object, if the file states it


@dataclass(frozen=True)
class Drawing:
    """The shapes of one frame."""

    name: str  # name for messages
    stem: str  # possible name of the frame
    shapes: tuple[Shape, ...]
    size: Size | None = None  # (h, w) stated by the file


def stated_size(height: Any, width: Any) -> Size | None:
    """Return the size that a file states for its image; None if it states none."""
    return (int(height), int(width)) if height and width else None


def drawing_entries(drawings: Sequence[Drawing], size: Size | None, notes: list[str]) -> list[Entry]:
    """Return drawings as masks, with objects numbered over all of them.

    Args:
        drawings: drawings of all files of a video, in order.
        size: (h, w) of the frames, for drawings that state none.
        notes: list to which the ids are added, if the files state none.

    Raises:
        MaskError: a size is unknown, empty or too large.
    """
    ids, names, are_stated = _number_objects(drawings)
    if names and not are_stated:
        objects = listed([f"{i} {name}" for i, name in names.items()])
        notes.append(f"{drawings[0].name}: objects are numbered as drawn: {objects}")
    told: set[str] = set()
    return [
        Entry(drawing.name, drawing.stem, partial(_draw, drawing, _size_of(drawing, size), ids, names, notes, told))
        for drawing in drawings
    ]


def _number_objects(drawings: Sequence[Drawing]) -> tuple[dict[str, int], dict[int, str], bool]:
    """Return {key: id}, {id: name of the object}, and whether the ids are those stated in the files.

    No object gets 255, the id of void: stated ids that use it are not taken.
    """
    ids = dict(NO_OBJECT)
    names: dict[int, str] = {}
    shapes = [shape for drawing in drawings for shape in drawing.shapes]
    are_stated = all(shape.id is not None and shape.id > 0 and shape.id != VOID for shape in shapes)
    for shape in shapes:
        if shape.key not in NO_OBJECT:
            following = len(names) + 1 + (len(names) + 1 >= VOID)
            number = shape.id if are_stated and shape.id is not None else ids.setdefault(shape.key, following)
            ids[shape.key] = number
            names.setdefault(number, shape.name)
    if not names:
        ids[IGNORED] = 0  # without other ids, 255 would be read as an object
    return ids, names, are_stated


def _size_of(drawing: Drawing, size: Size | None) -> Size:
    """Return the size of a drawing's mask, `size` if it states none."""
    size = drawing.size or size
    if size is None:
        raise MaskError(f"{drawing.name}: says nothing of its image's size; give the frames too")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise MaskError(f"{drawing.name}: its image is {size[1]}x{size[0]}, empty or more than {MAX_PIXELS} pixels")
    return size


def _draw(
    drawing: Drawing, size: Size, ids: Mapping[str, int], names: Mapping[int, str], notes: list[str], told: set[str]
) -> Stored:
    """Draw the shapes of a frame, the last on top; note each oddity that is not yet in `told`."""
    labels, overlap = np.zeros(size, np.int32), False
    for shape in drawing.shapes:
        try:
            inside, number = shape.draw(size), ids[shape.key]
        except ValueError as error:
            raise MaskError(f"{drawing.name}: a shape of {shape.name} cannot be drawn: {error}") from None
        others = inside & (labels != number) & (labels != 0) & (labels != ids[IGNORED])
        overlap = overlap or (number in names and bool(others.any()))
        labels[inside] = number
    seen = set(np.unique(labels).tolist())
    found = ["objects overlap: the one drawn last is on top"] if overlap else []
    found += [
        f"object {number}, {names[number]}, has no pixel: it has no area in the image, or others cover it"
        for number in dict.fromkeys(ids[shape.key] for shape in drawing.shapes)
        if number in names and number not in seen
    ]
    notes.extend(f"{drawing.name}: {text}" for text in found if text not in told)
    told.update(found)
    return Stored(labels, "drawn")
