"""Read the prompts that select the objects to track: masks (with `aot_jax.read_masks`) or boxes."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from aot_jax.io.mask_sets import read_masks
from aot_jax.io.masks import MaskError, object_ids
from aot_jax.io.sources import Source
from aot_jax.typing import Size


@dataclass(frozen=True)
class Prompts:
    """Given masks by frame, read on access."""

    first: int  # number of the first frame with a mask
    ids: tuple[int, ...]  # ids of all objects, ascending
    digest: str  # SHA-256 of all masks and their frame numbers
    _loaders: dict[int, Callable[[], np.ndarray]] = field(repr=False)

    @property
    def last(self) -> int:
        """Return the number of the last frame with a mask."""
        return max(self._loaders)

    def at(self, index: int) -> np.ndarray | None:
        """Return the mask (h, w) int32 of a frame, or None."""
        loader = self._loaders.get(index)
        return None if loader is None else loader()


def read_prompts(
    source: Source,
    masks: Sequence[str] = (),
    boxes: Sequence[str] = (),
    frame: int | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Prompts:
    """Read prompts, find their frames, and check them all.

    Args:
        source: the video.
        masks: mask files, folders of them, or globs.
        boxes: each "x0,y0,x1,y1" in pixels, x1 and y1 not included; filled, with ids 1, 2, ...
        frame: number of the frame of the boxes or of a single mask; None: by name, else the first.
        warn: called with each warning.

    Raises:
        MaskError: no masks or boxes are given (or both), a mask cannot be read, fits no frame or has another size, or
            there is no object.
    """
    if bool(masks) == bool(boxes):
        raise MaskError(
            "which objects? Give their mask on a frame, --mask MASK.png, or a box around each, --box x0,y0,x1,y1"
            + (" (one or the other, not both)" if masks else "")
        )
    if frame is not None and (frame < 0 or (source.count is not None and frame >= source.count)):
        raise MaskError(f"there is no frame {frame}: {source.name} has {source.count} frames, numbered from 0")
    if boxes:
        drawn = draw_boxes(boxes, source.size, warn)
        return _checked({frame or 0: ("the box", lambda: drawn)}, warn)
    found = read_masks(list(masks), source, frame=frame)
    for note in found.notes:
        warn(note)
    prompts = _checked(
        {source.index_of(name) or 0: (found.file_of(name), partial(found.__getitem__, name)) for name in found}, warn
    )
    if lost := sorted(set(found.ids) - set(prompts.ids)):
        warn(f"objects {lost} are not tracked: their masks are empty, or those of other objects cover them")
    return prompts


def draw_boxes(boxes: Sequence[str], size: Size, warn: Callable[[str], None] = lambda _: None) -> np.ndarray:
    """Fill boxes "x0,y0,x1,y1" with ids 1, 2, ..., later ones on top; returns (h, w) int32.

    Raises:
        MaskError: a box is malformed, or lies outside of the frame.
    """
    height, width = size
    labels = np.zeros(size, np.int32)
    for number, text in enumerate(boxes, start=1):
        try:
            x0, y0, x1, y1 = (round(float(part)) for part in text.split(","))
        except (ValueError, OverflowError):
            raise MaskError(f"--box {text}: a box is x0,y0,x1,y1 in pixels, as in --box 100,50,300,200") from None
        if not (x0 < x1 and y0 < y1):
            raise MaskError(f"--box {text}: x0,y0 is its upper left corner and x1,y1 its lower right one, further on")
        left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
        if left >= right or top >= bottom:
            raise MaskError(f"--box {text}: lies outside of the frame, which is {width}x{height} (width x height)")
        if (left, top, right, bottom) != (x0, y0, x1, y1):
            warn(f"--box {text}: cut to the frame, {left},{top},{right},{bottom}")
        labels[top:bottom, left:right] = number
    return labels


def _checked(prompts: Mapping[int, tuple[str, Callable[[], np.ndarray]]], warn: Callable[[str], None]) -> Prompts:
    kept: dict[int, Callable[[], np.ndarray]] = {}
    ids: set[int] = set()
    digest = hashlib.sha256()
    empty = []
    for index, (name, load) in prompts.items():
        mask = load()
        found = object_ids(mask)
        if not found:
            empty.append(name)
            continue
        kept[index] = load
        ids.update(found)
        digest.update(f"{index}:{mask.shape}".encode() + mask.tobytes())
    if not kept:
        raise MaskError(f"{empty[0]}: has no object, every pixel is 0 (or void): draw the objects to track")
    if empty:
        warn(f"{len(empty)} of {len(prompts)} masks have no object and are left out, {empty[0]} for one")
    return Prompts(min(kept), tuple(sorted(ids)), digest.hexdigest(), kept)
