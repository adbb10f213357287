"""What a pass over one mask finds: its values with their pixels, their colours, whether its edges are soft."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aot_jax.io.mask_sets.edges import flat_colours
from aot_jax.io.mask_sets.stored import BLACK, CLEAR, DAVIS_PALETTE, WHITE, Kind, MaskError, Stored
from aot_jax.typing import VOID, Size

DARK = 8  # largest channel of a palette's colour that passes for black
MAX_LEVELS = 64  # of an 8-bit grey mask; more are a picture
MAX_COLOURS = 256  # of an RGB mask, background among them
MAX_IDS = 4096  # of a 16-bit mask; a depth map or a picture has more
FEW_INDICES = 3  # of a palette mask whose edges need no look
SOFT = (
    "looks antialiased, or is a picture; export the mask without antialiasing or lossy compression (resize with "
    "nearest neighbour), or, if these are ids, save it as a palette PNG"
)
DAVIS_CODES = {int(r) << 16 | int(g) << 8 | int(b): i for i, (r, g, b) in enumerate(DAVIS_PALETTE)}


@dataclass(frozen=True)
class Survey:
    """What a pass over one mask finds."""

    kind: Kind
    size: Size
    counts: Mapping[int, int]  # pixels of each value
    border: Mapping[int, int]  # those of them that lie on the picture's border
    colours: Mapping[int, int]  # colour of each value
    flat: Mapping[int, int]  # flat colours with pixels, if its edges are soft
    cut: bool  # alpha has soft edges
    hidden: bool  # everything is transparent

    def holds_white_alone(self) -> bool:
        """Tell whether 255 is the only value but 0."""
        return self.kind != "colour" and VOID in self.counts and self.counts.keys() <= {0, CLEAR, VOID}


def survey_mask(stored: Stored, name: str) -> Survey:
    """Count what a mask holds.

    Raises:
        MaskError: it is a picture, not a mask.
    """
    values = stored.values
    counts = _tally(values)
    edge = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    used = np.array([value for value in counts if value != CLEAR], np.int32)
    colours = dict(zip(used.tolist(), stored.colour_of(used).tolist(), strict=True))
    flat: Mapping[int, int] = {}
    if len(used) > 2 and (stored.kind in ("grey", "colour") or (stored.kind == "palette" and _odd_palette(colours))):
        flat = flat_colours(stored.colours())
    most = {"grey": MAX_LEVELS, "colour": MAX_COLOURS, "palette": 256, "ids": MAX_IDS}[stored.kind]
    if len(used) > most and not flat:
        what = {"grey": "grey levels", "colour": "colours"}.get(stored.kind, "values")
        raise MaskError(f"{name}: {len(used)} {what} are more than the {most} that a mask may have: it {SOFT}")
    return Survey(stored.kind, stored.size, counts, _tally(edge), colours, flat, stored.soft, stored.hidden)


def paint_palettes(surveys: Sequence[Survey]) -> bool:
    """Tell whether palettes are those of paint programs, whose indices say less than their colours."""
    palettes = [survey for survey in surveys if survey.kind == "palette"]
    index_of: dict[int, int] = {}
    for survey in palettes:
        colours = {value: code for value, code in survey.colours.items() if value != CLEAR}
        if len(set(colours.values())) < len(colours):
            return False  # no real palette: colours tell nothing apart
        for value, code in colours.items():
            if index_of.setdefault(code, value) != value:
                return True  # one colour at different indices
    if any(survey.counts.get(CLEAR) and 0 in survey.counts for survey in palettes):
        return any(not _is_dark(survey.colours[0]) for survey in palettes if 0 in survey.colours)
    named_black = any(_is_dark(code) and value for survey in palettes for value, code in survey.colours.items())
    zero = [survey.colours[0] for survey in palettes if 0 in survey.colours]
    if zero and all(_is_dark(code) for code in zero):
        return False
    if named_black:  # index 0 has another colour, or is not used
        around = add_up(survey.border for survey in palettes)
        return not zero or around[0] <= around.total() / 2
    around, counts = add_up(survey.border for survey in palettes), add_up(survey.counts for survey in palettes)
    top = max(around, key=lambda value: around[value], default=0)
    odd = bool(zero) or any(survey.colours.get(top) == WHITE for survey in palettes)
    return top > 0 and odd and around[top] > around.total() / 2 and counts[top] == max(counts.values())


def _odd_palette(colours: Mapping[int, int]) -> bool:
    """Tell whether a palette mask may be an antialiased picture with few colours."""
    return len(colours) > FEW_INDICES and any(DAVIS_CODES.get(code) != value for value, code in colours.items())


def colour_name(code: int) -> str:
    """Write a colour as #rrggbb, or by name."""
    return {BLACK: "black", WHITE: "white"}.get(code, f"#{code:06x}")


def _is_dark(code: int) -> bool:
    return max(code >> 16, code >> 8 & 255, code & 255) <= DARK


def add_up(counts: Iterable[Mapping[int, int]]) -> Counter[int]:
    """Add up pixels of values, in the order in which these first appear."""
    total: Counter[int] = Counter()
    for part in counts:
        total.update(part)
    return total


def runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and lengths of runs of alike pixels, row by row: far fewer in a mask than pixels."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    return flat[starts], np.diff(np.append(starts, flat.size))


def _tally(values: np.ndarray) -> dict[int, int]:
    """Count the pixels of each value."""
    found, lengths = runs(values)
    distinct, index = np.unique(found, return_inverse=True)
    return dict(zip(distinct.tolist(), np.bincount(index, lengths).astype(np.int64).tolist(), strict=True))
