"""Collect statistics of a mask, to decide over all masks of a video what values mean."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aot_jax.io.mask_sets.edges import FEW_VALUES, flat_colours, is_dithered
from aot_jax.io.mask_sets.stored import BLACK, CLEAR, DAVIS_PALETTE, WHITE, Kind, MaskError, Stored
from aot_jax.typing import VOID, Size

DARK = 8  # largest channel value of a palette colour that counts as black
MAX_LEVELS = 64  # most grey levels of an 8-bit mask; a picture has more
MAX_COLOURS = 256  # most colours of an RGB mask, including background
MAX_IDS = 4096  # most ids of a 16-bit mask; a depth map or picture has more
NOT_A_MASK = (
    "looks antialiased or dithered, or is a picture; export the mask without smoothing, dithering or lossy compression "
    "(resize with nearest neighbour), or, if these are ids, save it as a palette PNG"
)
DAVIS_CODES = {int(r) << 16 | int(g) << 8 | int(b): i for i, (r, g, b) in enumerate(DAVIS_PALETTE)}


@dataclass(frozen=True)
class Survey:
    """Statistics of one mask; for values, colours and kinds see `Stored`."""

    kind: Kind
    size: Size
    counts: Mapping[int, int]  # value -> pixels
    border: Mapping[int, int]  # value -> pixels on the border of the image
    colours: Mapping[int, int]  # value -> colour, except `CLEAR`
    flat: Mapping[int, int]  # flat colour -> interior pixels (see `edges`); empty if edges are hard
    soft_alpha: bool  # alpha has values between transparent and opaque
    hidden: bool  # all pixels are transparent
    lossy: bool = False  # from a JPEG
    dithered: bool = False  # ids change from pixel to pixel
    cut: bool = False  # probabilities were cut at 0.5
    cutout: bool = False  # a picture with transparent pixels; its colours are not counted

    def holds_white_alone(self) -> bool:
        """Tell whether 255 is the only value besides 0."""
        return self.kind != "colour" and VOID in self.counts and self.counts.keys() <= {0, CLEAR, VOID}


def survey_mask(stored: Stored, name: str) -> Survey:
    """Survey a mask, or a picture whose opaque pixels are the object.

    Raises:
        MaskError: it has too many values, or colours that change from pixel to pixel, so it is a picture.
    """
    values = stored.values
    found, lengths = runs(values)
    counts = _tally(found, lengths)
    border = np.concatenate([values[0], values[-1], values[1:-1, 0], values[1:-1, -1]])
    used = np.array([value for value in counts if value != CLEAR], np.int32)
    colours = dict(zip(used.tolist(), stored.colour_of(used).tolist(), strict=True))
    flat: Mapping[int, int] = {}
    in_colours = stored.kind == "colour" or (stored.kind == "palette" and _odd_palette(colours))
    shades = stored.kind in ("grey", "ids") and used.max(initial=0) == VOID
    if len(used) > 2 and (in_colours or shades or stored.kind == "grey"):
        flat = flat_colours(stored.colours(), stored.lossy)
    most = {"grey": MAX_LEVELS, "colour": MAX_COLOURS, "palette": 256}.get(stored.kind, MAX_IDS)
    dithered = stored.kind != "drawn" and not flat and is_dithered(values, counts, lengths)
    too_many = len(used) > most and not flat
    if (too_many or dithered) and CLEAR in counts and stored.kind in ("colour", "grey"):
        return Survey(stored.kind, stored.size, {CLEAR: counts[CLEAR]}, {}, {}, {}, stored.soft, False, cutout=True)
    if too_many:
        what = {"grey": "grey levels", "colour": "colours"}.get(stored.kind, "values")
        raise MaskError(f"{name}: {len(used)} {what} are more than the {most} that a mask may have: it {NOT_A_MASK}")
    if dithered and (in_colours or (shades and len(used) > FEW_VALUES)):
        raise MaskError(f"{name}: its {len(used)} colours change from pixel to pixel: it {NOT_A_MASK}")
    return Survey(
        kind=stored.kind,
        size=stored.size,
        counts=counts,
        border=_tally(*runs(border)),
        colours=colours,
        flat=flat,
        soft_alpha=stored.soft and not stored.hidden,
        hidden=stored.hidden,
        lossy=stored.lossy,
        dithered=dithered,
        cut=stored.cut,
    )


def paint_palettes(surveys: Sequence[Survey]) -> bool:
    """Tell whether palettes come from paint programs, so that colours identify objects and indices do not.

    Such programs order a palette as they like: a colour has different indices in different files, or another index than
    0 is background.
    """
    palettes = [survey for survey in surveys if survey.kind == "palette"]
    index_of: dict[int, int] = {}
    for survey in palettes:
        if len(set(survey.colours.values())) < len(survey.colours):
            return False  # two indices have the same colour
        for value, code in survey.colours.items():
            if index_of.setdefault(code, value) != value:
                return True  # one colour at different indices
    zero = [survey.colours[0] for survey in palettes if 0 in survey.colours]
    black = all(map(_is_dark, zero))
    if zero and any(CLEAR in survey.counts and 0 in survey.counts for survey in palettes):
        return not black
    if zero and black:
        return False
    border = add_up(survey.border for survey in palettes)
    if any(_is_dark(code) and value for survey in palettes for value, code in survey.colours.items()):
        return not zero or border[0] <= border.total() / 2  # black, but at another index
    counts = add_up(survey.counts for survey in palettes)
    top = max(border, key=lambda value: border[value], default=0)
    odd = bool(zero) or any(survey.colours.get(top) == WHITE for survey in palettes)
    return top > 0 and odd and border[top] > border.total() / 2 and counts[top] == max(counts.values())


def _odd_palette(colours: Mapping[int, int]) -> bool:
    """Tell whether a palette mask may be antialiased: more than a few colours, and not those of DAVIS."""
    return len(colours) > FEW_VALUES and any(DAVIS_CODES.get(code) != value for value, code in colours.items())


def colour_name(code: int) -> str:
    """Return "black", "white" or #rrggbb."""
    return {BLACK: "black", WHITE: "white"}.get(code, f"#{code:06x}")


def _is_dark(code: int) -> bool:
    return max(code >> 16, code >> 8 & 255, code & 255) <= DARK


def add_up(counts: Iterable[Mapping[int, int]]) -> Counter[int]:
    """Sum pixel counts by value, in the order in which values first appear."""
    total: Counter[int] = Counter()
    for part in counts:
        total.update(part)
    return total


def runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return values and lengths of the runs of equal pixels, row by row; a mask has far fewer runs than pixels."""
    flat = values.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    return flat[starts], np.diff(np.append(starts, flat.size))


def _tally(found: np.ndarray, lengths: np.ndarray) -> dict[int, int]:
    """Count the pixels of each value from values and lengths of runs."""
    distinct, index = np.unique(found, return_inverse=True)
    return dict(zip(distinct.tolist(), np.bincount(index, lengths).astype(np.int64).tolist(), strict=True))
