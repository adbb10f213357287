"""Turn shapes into masks of ids, with one id for an object over the whole video."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aot_jax.io.images import MAX_PIXELS
from aot_jax.io.mask_sets.names import Entry
from aot_jax.io.mask_sets.stored import MaskError, Stored
from aot_jax.typing import VOID, Size

IGNORED = "__ignore__"  # labelme's label of areas that are void
NO_OBJECT = {"_background_": 0, IGNORED: VOID}  # labelme's labels of areas that are no object, and their ids
MAX_SHAPES = 100_000  # most shapes of a video
SHOWN = 8  # most objects listed in a note


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


def drawing_entries(drawings: Sequence[Drawing], size: Size | None, notes: list[str]) -> list[Entry]:
    """Return drawings as masks, with objects numbered over all of them.

    Args:
        drawings: drawings of all files of a video, in order.
        size: (h, w) of the frames, for drawings that state none.
        notes: list to which the ids are added, if the files state none.

    Raises:
        MaskError: a size is unknown, empty or too large, or ids of objects reach that of void areas.
    """
    ids = dict(NO_OBJECT)
    names: dict[int, str] = {}
    sizes: list[Size] = []
    told: set[str] = set()
    stated = all(shape.id is not None and shape.id > 0 for drawing in drawings for shape in drawing.shapes)
    for drawing in drawings:
        of = drawing.size or size
        if of is None:
            raise MaskError(f"{drawing.name}: says nothing of its image's size; give the frames too")
        if min(of) < 1 or of[0] * of[1] > MAX_PIXELS:
            raise MaskError(f"{drawing.name}: its image is {of[1]}x{of[0]}, empty or more than {MAX_PIXELS} pixels")
        sizes.append(of)
        for shape in drawing.shapes:
            if shape.key not in NO_OBJECT:
                number = shape.id if stated and shape.id is not None else ids.setdefault(shape.key, len(names) + 1)
                ids[shape.key] = number
                names.setdefault(number, shape.name)
    if VOID in names and any(shape.key == IGNORED for drawing in drawings for shape in drawing.shapes):
        raise MaskError(f"{drawings[0].name}: {VOID} objects or more leave no id for {IGNORED}; draw fewer")
    if not names:
        ids[IGNORED] = 0  # 255 alone would be an object
    if names and not stated:
        listed = ", ".join(f"{i} {name}" for i, name in list(names.items())[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        notes.append(f"{drawings[0].name}: objects are numbered as drawn: {listed}{more}")

    def loader(drawing: Drawing, of: Size) -> Callable[[], Stored]:
        def load() -> Stored:
            labels, overlap = np.zeros(of, np.int32), False
            for shape in drawing.shapes:
                try:
                    inside, number = shape.draw(of), ids[shape.key]
                    others = inside & (labels != number) & (labels != 0) & (labels != ids[IGNORED])
                    overlap = overlap or (number in names and bool(others.any()))
                    labels[inside] = number
                except ValueError as error:
                    raise MaskError(f"{drawing.name}: a shape of {shape.name} cannot be drawn: {error}") from None
            seen = set(np.unique(labels).tolist())
            found = ["objects overlap: the one drawn last is on top"] if overlap else []
            found += [
                f"object {number}, {names[number]}, has no pixel: it has no area in the image, or others cover it"
                for number in dict.fromkeys(ids[shape.key] for shape in drawing.shapes)
                if number in names and number not in seen
            ]
            notes.extend(f"{drawing.name}: {text}" for text in found if text not in told)
            told.update(found)
            return Stored(labels, "ids")

        return load

    return [Entry(drawing.name, drawing.stem, loader(drawing, of)) for drawing, of in zip(drawings, sizes, strict=True)]
