"""Masks that are drawn as shapes: which object each shape is over the whole video, and shapes as arrays of ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aot_jax.io.images import MAX_PIXELS
from aot_jax.io.mask_sets.names import Entry
from aot_jax.io.mask_sets.stored import MaskError, Stored
from aot_jax.typing import Size

MAX_SHAPES = 100_000  # of a file
SHOWN = 8  # objects that a note lists


@dataclass(frozen=True)
class Shape:
    """One shape of an object."""

    key: str  # of its object, in all frames
    name: str  # of its object, for people
    draw: Callable[[Size], np.ndarray]  # (h, w) bool
    id: int | None = None  # of its object, where the file says so


@dataclass(frozen=True)
class Drawing:
    """The shapes of one frame."""

    name: str  # for messages
    stem: str  # that may be the frame's
    shapes: tuple[Shape, ...]
    size: Size | None = None  # as the file states it


def drawing_entries(drawings: Sequence[Drawing], size: Size | None, notes: list[str]) -> list[Entry]:
    """Return drawings as masks, their objects numbered once for all of them.

    Args:
        drawings: of all files of a video, in order.
        size: (h, w) of the frames, for those that state none.
        notes: is told which object has which id, where the files state none.

    Raises:
        MaskError: a size is not known.
    """
    ids: dict[str, int] = {}
    names: dict[int, str] = {}
    sizes: list[Size] = []
    stated = all(shape.id is not None and shape.id > 0 for drawing in drawings for shape in drawing.shapes)
    for drawing in drawings:
        of = drawing.size or size
        if of is None:
            raise MaskError(f"{drawing.name}: says nothing of its image's size; give the frames too")
        if min(of) < 1 or of[0] * of[1] > MAX_PIXELS:
            raise MaskError(f"{drawing.name}: its image is {of[1]}x{of[0]}, empty or more than {MAX_PIXELS} pixels")
        sizes.append(of)
        for shape in drawing.shapes:
            number = shape.id if stated and shape.id is not None else ids.setdefault(shape.key, len(ids) + 1)
            ids[shape.key] = number
            names.setdefault(number, shape.name)
    if names and not stated:
        listed = ", ".join(f"{i} {name}" for i, name in list(names.items())[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        notes.append(f"{drawings[0].name}: objects are numbered as drawn: {listed}{more}")

    def loader(drawing: Drawing, of: Size) -> Callable[[], Stored]:
        def load() -> Stored:
            labels = np.zeros(of, np.int32)
            for shape in drawing.shapes:
                try:
                    labels[shape.draw(of)] = ids[shape.key]
                except ValueError as error:
                    raise MaskError(f"{drawing.name}: a shape of {shape.name} cannot be drawn: {error}") from None
            return Stored(labels, "ids")

        return load

    return [Entry(drawing.name, drawing.stem, loader(drawing, of)) for drawing, of in zip(drawings, sizes, strict=True)]
