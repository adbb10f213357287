"""Decide what the values of masks mean, once for all masks of a video.

Numbers (palette indices, grey levels, ids of files without colours) are ids, and 0 is background. Colours are numbered,
and black is background. The exceptions are the rules below; each guess is noted in one line.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from aot_jax.io.mask_sets.edges import merge_flat, nearest, snap
from aot_jax.io.mask_sets.stored import BLACK, CLEAR, WHITE, WHITE_16, MaskError, Stored
from aot_jax.io.mask_sets.survey import (
    DAVIS_CODES,
    MAX_LEVELS,
    NOT_A_MASK,
    Survey,
    add_up,
    colour_name,
    paint_palettes,
    runs,
)
from aot_jax.io.names import listed
from aot_jax.typing import VOID

MOST_SHADES = 8  # most objects drawn in even steps of grey up to white
SHADE_TOLERANCE = 4  # largest deviation from an even step, in grey levels
WIDE = 256  # smallest id next to which 255 is an id instead of void
PAPER = 0.75  # smallest share of the border that white must cover to be background next to black


@dataclass(frozen=True)
class Meaning:
    """Mapping from values, or from colours, to ids."""

    table: Mapping[int, int]  # value or colour -> id; 0 background, `VOID` void
    by_colour: bool  # keys of `table` are colours
    void: int | None = None  # `VOID` if any pixel is void
    flat: tuple[int, ...] = ()  # colours that soft edges are snapped to
    notes: tuple[str, ...] = ()
    are_cutouts: bool = False  # opaque pixels are the object
    ignores_alpha: bool = False  # all pixels of all masks are transparent, so alpha has no meaning
    colours: Mapping[int, int] = field(default_factory=dict)  # colour -> id, if each colour is one id

    def ids(self, stored: Stored, survey: Survey, name: str) -> np.ndarray:
        """Return the ids (h, w) int32 of a mask.

        Raises:
            MaskError: its file has changed since the survey.
        """
        if stored.hidden and not self.ignores_alpha:
            return np.zeros(stored.size, np.int32)
        if self.are_cutouts:
            return (stored.values != CLEAR).astype(np.int32)
        values = stored.colours() if self.by_colour else stored.values
        if survey.flat:
            values = snap(values, list(self.flat))
        found, lengths = runs(values)
        keys = np.array(sorted(self.table), np.int32)
        index = np.minimum(np.searchsorted(keys, found), keys.size - 1)
        if (keys[index] != found).any():
            raise MaskError(f"{name}: has changed since it was first read; begin again")
        ids = np.array([self.table[int(key)] for key in keys], np.int32)[index]
        return np.repeat(ids, lengths).reshape(values.shape)


def are_ids(surveys: Sequence[Survey]) -> bool:
    """Tell whether masks hold ids other than 0 and white, so that masks with soft edges do not belong to the set."""
    if not surveys or any(survey.kind == "colour" for survey in surveys) or paint_palettes(surveys):
        return False
    return bool({value for survey in surveys for value in survey.counts} - {0, CLEAR, VOID, WHITE_16})


def decide(surveys: Sequence[Survey], known: Mapping[int, int] | None = None) -> Meaning:
    """Decide what the values of all masks of a video mean.

    Args:
        surveys: surveys of the masks, in the order of the video.
        known: colour -> id in another set of masks of the same video.

    Raises:
        MaskError: more colours than a mask may have, and none of them is background; or cut-out pictures beside masks
            without transparency.
    """
    ignores_alpha = all(survey.hidden for survey in surveys)
    seen = [survey for survey in surveys if ignores_alpha or not survey.hidden]
    notes = []
    if any(survey.soft_alpha for survey in seen):
        notes.append("soft edges of the alpha channel are cut at half")
    if any(survey.cut for survey in seen):
        notes.append("probabilities are cut at 0.5")
    if cutouts := sum(survey.cutout for survey in seen):
        if not all(CLEAR in survey.counts for survey in seen):
            raise MaskError("pictures with transparency beside masks without: give masks of one kind")
        notes.append(f"{cutouts} of {len(seen)} masks are pictures with transparency: opaque pixels are object 1")
        return Meaning({CLEAR: 0, 1: 1}, False, notes=tuple(notes), are_cutouts=True)
    if soft := sum(bool(survey.flat) for survey in seen):
        meaning = _colours(seen, True, known)
        notes.append(
            f"edges are soft (antialiased or compressed) in {soft} of {len(seen)} masks: every pixel is given the "
            f"nearest of {len(meaning.flat)} colours"
        )
    elif any(survey.kind == "colour" for survey in seen):
        meaning = _colours(seen, False, known)
    elif paint_palettes(seen):
        meaning = _colours(seen, False, known)
        notes.append("colours of the palette tell the objects, not their places in it")
    else:
        meaning = _numbers(seen)
    if exact := sum(survey.lossy and not survey.flat for survey in seen):
        notes.append(f"{exact} of {len(seen)} masks are JPEGs, whose values are not exact: save masks as PNG")
    if dithered := sum(survey.dithered for survey in seen):
        notes.append(f"ids change from pixel to pixel in {dithered} of {len(seen)} masks, as in a dithered picture")
    return replace(meaning, notes=(*meaning.notes, *notes), ignores_alpha=ignores_alpha)


def _numbers(surveys: Sequence[Survey]) -> Meaning:
    """Decide what numbers mean: they are ids, except white, void and shades of grey."""
    used = {value for survey in surveys for value in survey.counts} - {CLEAR}
    clear = any(CLEAR in survey.counts for survey in surveys)
    table = {value: value for value in used} | {0: 0, CLEAR: 0}
    notes: list[str] = []
    void = None
    objects = used - {0}
    drawn = all(survey.kind == "drawn" for survey in surveys)
    white = not drawn and len(objects) == 1 and max(objects) in (VOID, WHITE_16)
    if white:
        table[max(objects)] = 1
        if any(survey.colours.get(VOID, WHITE) != WHITE for survey in surveys if survey.kind == "palette"):
            notes.append("255, the only value besides 0, is taken for object 1, not for void")
    elif {survey.kind for survey in surveys} <= {"grey", "ids"} and _are_shades(objects):
        table |= {level: number for number, level in enumerate(sorted(objects), start=1)}
        notes.append(f"grey levels {listed(sorted(objects))} are objects 1 to {len(objects)}, white among them")
    elif VOID in objects and (drawn or max(objects) < WIDE):
        table[VOID], void = VOID, VOID
    counts, border = add_up(survey.counts for survey in surveys), add_up(survey.border for survey in surveys)
    if clear and used == {0}:
        table[0] = 1
        notes.append("transparent pixels are background, black ones the object")
    elif clear and not counts[0]:
        notes.append("transparent pixels are background")
    elif not counts[0] and used:
        top = max(border, key=lambda value: border[value])
        name = "void (255)" if void and top == VOID else f"object {table[top]}"
        notes.append(
            f"no pixel is 0, so none is background; the border is mostly {name}: if that is background, make it 0"
        )
    elif void and border[VOID] > border.total() / 2:
        notes.append("the border is mostly void (255): if that is the background, make it 0, and number objects from 1")
    elif (
        len(objects) == 1
        and {survey.kind for survey in surveys} != {"palette"}
        and border[max(objects)] >= PAPER * border.total()
        and counts[max(objects)] > counts[0]
    ):
        notes.append("the object covers most of the border, and 0 is background: if it is 0, invert the mask")
    colours: dict[int, int] = {}
    shown = {(colour, table[value]) for survey in surveys for value, colour in survey.colours.items()}
    if len({colour for colour, _ in shown}) == len(shown):
        colours = dict(shown)
    return Meaning(table, False, void, notes=tuple(notes), colours=colours)


def _colours(surveys: Sequence[Survey], soft: bool, known: Mapping[int, int] | None) -> Meaning:
    """Decide what colours mean; `soft` tells whether any mask has soft edges; other arguments as in `decide`."""
    flat: dict[int, int] = {}
    if soft:  # hard masks give exact colours; soft ones only add what no hard mask has
        exact = [{survey.colours[v] for v in survey.counts if v != CLEAR} for survey in surveys if not survey.flat]
        flat = merge_flat(add_up(survey.flat for survey in surveys), set().union(*exact))

    def by_colour(counts: Mapping[int, int], survey: Survey) -> Counter[int]:
        """Turn pixels of each value into pixels of each colour after snapping soft edges, in the order of values."""
        values = sorted(counts)
        codes = [CLEAR if value == CLEAR else survey.colours[value] for value in values]
        if survey.flat:
            codes = nearest(np.array(codes, np.int32), list(flat)).tolist()
        pixels: Counter[int] = Counter()
        for value, code in zip(values, codes, strict=True):
            pixels[code] += counts[value]
        return pixels

    counts: Counter[int] = Counter()  # keeps the order of first appearance
    border: Counter[int] = Counter()
    for survey in surveys:
        counts.update(by_colour(survey.counts, survey))
        border.update(by_colour(survey.border, survey))
    last = max((known or {}).values(), default=0)  # largest id in use
    known = {code: i for code, i in (known or {}).items() if code in counts}
    background = {code for code, i in known.items() if i == 0}
    notes: list[str] = []
    if not background:
        background, notes = _background(counts, border)
    codes = [code for code in counts if code not in background and code != CLEAR]
    davis = background <= {BLACK} and all(code in DAVIS_CODES for code in codes)
    table = ({code: DAVIS_CODES[code] for code in codes} if davis else {}) | known
    last, numbered = max(last, *table.values(), 0), []
    for code in codes:
        if code not in table:
            last += 1
            table[code] = last
            numbered.append(f"{last} {colour_name(code)}")
    if len(numbered) > 1:
        notes.append(f"colours are numbered: {listed(numbered)}")
    colours = table | dict.fromkeys(background, 0)
    void = VOID if VOID in table.values() and max(table.values()) < WIDE and (davis or known) else None
    if void and set(table.values()) == {VOID}:
        colours, void = {code: min(i, 1) for code, i in colours.items()}, None
    return Meaning({CLEAR: 0} | colours, True, void, tuple(flat), tuple(notes), colours=colours)


def _background(counts: Counter[int], border: Counter[int]) -> tuple[set[int], list[str]]:
    """Return the background colours, and notes about them."""
    edge = border.total()
    others = [code for code in counts if code not in (CLEAR, BLACK)]
    if counts[CLEAR]:
        if counts[BLACK] and border[BLACK] >= border[CLEAR] and others:
            return {BLACK}, ["transparent pixels and black ones are background"]
        return set(), ["transparent pixels are background" + (", black ones an object" if counts[BLACK] else "")]
    if counts[BLACK]:
        if border[WHITE] >= PAPER * edge and counts[WHITE] > counts[BLACK]:
            return {WHITE}, ["white, which covers the border, is background; black is an object"]
        return {BLACK}, []
    top = max(border, key=lambda code: border[code])
    if border[top] > edge / 2 and counts[top] == max(counts.values()):
        return {top}, [f"no pixel is black: {colour_name(top)}, which covers the border, is background"]
    if len(counts) > MAX_LEVELS:
        raise MaskError(f"{len(counts)} colours, none of them background: it {NOT_A_MASK}")
    return set(), ["no pixel is black, so none is background: every colour is an object"]


def _are_shades(levels: set[int]) -> bool:
    """Tell whether grey levels are objects drawn in even steps up to white."""
    count = len(levels)
    return 2 <= count <= MOST_SHADES and all(
        abs(level - VOID * step / count) <= SHADE_TOLERANCE for step, level in enumerate(sorted(levels), start=1)
    )
