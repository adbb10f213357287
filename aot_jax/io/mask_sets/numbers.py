"""Find the numbers in the names of mask files."""

import re
from collections.abc import Sequence

PADDED = 4  # fewest digits that make a number a frame number, whatever surrounds it
FRAME_WORDS = {"frame", "frames", "img", "image", "f", "fr", "frm"}


def number_in(stem: str, prefix: str = "") -> tuple[int, bool] | None:
    """Return the likely frame number in a name, and whether it is certain; None if there is no number."""
    if prefix and stem.startswith(prefix):
        stem = stem[len(prefix) :]
        if re.fullmatch(r"[^0-9]?0*[0-9]{1,9}[^0-9]*", stem):
            return int(re.sub("[^0-9]", "", stem)), True
    groups = [match for match in re.finditer("[0-9]+", stem) if len(match.group().lstrip("0")) < 10]
    if not groups:
        return None
    for match in groups:
        word = re.search("[a-zA-Z]*$", stem[: match.start()].rstrip(" _.-=#("))
        if word and word.group().lower() in FRAME_WORDS:
            return int(match.group()), True
    padded = [match for match in groups if len(match.group()) >= PADDED]
    if padded:
        return int(padded[-1].group()), len(padded) == 1
    return int(groups[-1].group()), stem.isdecimal()


def varying_numbers(stems: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the numbers that vary between names, each as a tuple of one text per name; empty if other parts differ."""
    split = [re.split("([0-9]+)", stem.lower()) for stem in stems]  # text, number, text, ..., text
    if len({tuple(parts[::2]) for parts in split}) != 1:
        return []
    return [column for column in zip(*(parts[1::2] for parts in split), strict=True) if len(set(column)) > 1]


def varying_number(stems: Sequence[str]) -> list[int] | None:
    """Return the number in each name, if the names differ only in it; else None."""
    columns = varying_numbers(stems)
    if len(columns) != 1 or max(len(text.lstrip("0")) for text in columns[0]) > 9:
        return None
    return [int(text) for text in columns[0]]
