"""Choose the images of a folder that are frames of a video, and check that their names define an order.

Images whose names differ in numbers only are a series; the frames are one or several series.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from aot_jax.io.images import IMAGES, decode_image, open_image

OTHER_WORDS = {  # words in names of images that are not frames
    *("mask", "masks", "seg", "segmentation", "label", "labels", "annotation", "annotations", "gt", "groundtruth"),
    *("depth", "depthmap", "disp", "disparity", "flow", "normal", "normals", "alpha", "matte", "trimap", "edges"),
    *("contour", "contours", "overlay", "thumb", "thumbs", "thumbnail", "preview", "cover", "poster"),
}
FEW_COLOURS = 64  # most colours of a mask; a photograph has more
DECIMAL = re.compile(r"[0-9]\.[0-9]+$")
ROLLOVER = 9999  # last file number of a camera before it starts again


class _Look(NamedTuple):
    """Properties that distinguish kinds of images."""

    size: tuple[int, int]  # width, height
    in_colour: bool
    few_colours: bool  # at most `FEW_COLOURS`, like a mask

    def is_photograph(self) -> bool:
        """Tell whether the image is no mask or depth map."""
        return self.in_colour and not self.few_colours


def natural(name: str) -> list[str | int]:
    """Split a name into alternating text and numbers: a sort key that compares numbers by value."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name.casefold()))]


def choose_frames(images: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Leave out series that are not frames: masks, depth maps, thumbnails.

    They are recognised by a word in their names, or by looking unlike the longest series: few colours, grey where
    frames have colour, another size.

    Returns:
        The frames, and one line for each series left out.
    """
    series: dict[str, list[Path]] = {}
    for path in images:
        series.setdefault(_pattern(path) + path.suffix.lower(), []).append(path)
    if len(series) < 2:
        return list(images), []
    other = {  # series -> whether its name says that it holds no frames
        name: bool(OTHER_WORDS & set(re.findall("[a-z]+", name.rpartition(".")[0]))) for name in series
    }
    if all(other.values()):  # then the words do not distinguish series
        other = dict.fromkeys(series, False)
    kept = [name for name in series if not other[name]]
    main = max(kept, key=lambda name: len(series[name]))
    if len(kept) > 1:
        longest = [name for name in kept if len(series[name]) == len(series[main])]
        looks = {name: _look(series[name][0]) for name in kept}
        main = next((name for name in longest if (look := looks[name]) and look.is_photograph()), longest[0])
        for name in kept:
            other[name] = name != main and _differs(looks[name], looks[main])
    notes = [
        f"{_some(paths)}: no frame, and left out, beside {len(series[main])} images like {min(series[main]).name}"
        for name, paths in series.items()
        if other[name]
    ]
    left_out = {path for name, paths in series.items() if other[name] for path in paths}
    return [path for path in images if path not in left_out], notes


def order_note(frames: Sequence[Path]) -> str | None:
    """Return a note if names leave the order of frames ambiguous, stating the order taken; else None.

    Args:
        frames: frames in the order taken.
    """
    if len(frames) < 2:
        return None
    patterns = Counter(map(_pattern, frames))
    numbers = [natural(path.stem)[1::2] for path in frames]
    if not any(numbers):
        why = "hold no number"
    elif len(patterns) > 1:
        (one, _), (two, _) = patterns.most_common(2)
        why = f"differ in more than their number, as {one!r} and {two!r}"
    elif len({tuple(number) for number in numbers}) < len(frames):
        why = "have the same number twice"
    elif (count := _count_series(numbers)) > 1 and not DECIMAL.search(frames[0].stem):
        why = f"hold {count} series with the same last numbers"
    elif DECIMAL.search(frames[0].stem) and len({len(Path(path.stem).suffix) for path in frames}) > 1:
        why = "end in decimals of different lengths, which are taken for whole numbers"
    elif len(numbers[0]) == 1 and _rolls_over([int(number[0]) for number in numbers]):
        why = f"go on from {ROLLOVER} with small numbers"
    else:
        return None
    shown = [path.name for path in frames]
    listed = ", ".join(shown) if len(shown) < 5 else f"{', '.join(shown[:3])}, ..., {shown[-1]}"
    return f"{frames[0].parent}: names of frames {why}: the order is {listed}"


def _count_series(numbers: list[list[str | int]]) -> int:
    """Count series whose last numbers are the same, as of two cameras, 1_0, 1_1, 2_0, 2_1; 1 if they differ."""
    series: dict[tuple[str | int, ...], set[str | int]] = {}
    for number in numbers:
        series.setdefault(tuple(number[:-1]), set()).add(number[-1])
    first = next(iter(series.values()))
    return len(series) if len(first) > 1 and all(last == first for last in series.values()) else 1


def _rolls_over(numbers: list[int]) -> bool:
    """Tell whether sorted numbers are those of a camera that went on from `ROLLOVER` with 1."""
    gap = max(after - before for before, after in pairwise(numbers))
    return numbers[-1] == ROLLOVER and gap > ROLLOVER // 2


def _pattern(path: Path) -> str:
    """Return the name of a series: that of the file, with # for numbers."""
    return re.sub("[0-9]+", "#", path.stem.casefold())


def _look(path: Path) -> _Look | None:
    """Return the look of an image; None if it cannot be read."""
    try:
        with open_image(path, IMAGES, ValueError) as (opened, _):
            if opened.mode not in ("RGB", "RGBA", "CMYK", "YCbCr"):
                return _Look(opened.size, False, opened.mode in ("P", "1"))
        colours = decode_image(path, IMAGES, ValueError)[0].convert("RGB").getcolors(FEW_COLOURS)
    except ValueError:
        return None
    return _Look(opened.size, True, colours is not None)


def _differs(look: _Look | None, main: _Look | None) -> bool:
    """Tell whether images that look like `look` are not frames, given that those that look like `main` are."""
    if look is None or main is None:
        return False
    return look.size != main.size or (main.is_photograph() and not look.is_photograph())


def _some(paths: Sequence[Path]) -> str:
    return str(min(paths)) + (f" and {len(paths) - 1} like it" if len(paths) > 1 else "")
