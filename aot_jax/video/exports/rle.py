"""Run-length encoding of masks as COCO stores it.

Runs go down the columns and alternate between 0 and 1, beginning with 0. Each length after the second is stored as its
difference from the one two before; a number becomes characters of five bits from the lowest, with a sixth bit that says
that more follow and the sign in the last one's fifth bit, offset by 48.
"""

import numpy as np

OFFSET, MORE, SIGN, BITS = 48, 0x20, 0x10, 0x1F


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of a mask (h, w) bool, column by column, the first one of zeros."""
    flat = np.asarray(mask, bool).ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]]))
    return np.concatenate([[0], lengths]) if flat.size and flat[0] else lengths


def encode(mask: np.ndarray) -> dict[str, object]:
    """Encode a mask (h, w) bool as a compressed COCO segmentation, {"size": [h, w], "counts": text}."""
    lengths = run_lengths(mask).tolist()
    numbers = [n - lengths[i - 2] if i > 2 else n for i, n in enumerate(lengths)]
    return {"size": list(mask.shape), "counts": "".join(map(_characters, numbers))}


def _characters(number: int) -> str:
    text = ""
    while True:
        piece, number = number & BITS, number >> 5
        more = number != (-1 if piece & SIGN else 0)
        text += chr((piece | MORE if more else piece) + OFFSET)
        if not more:
            return text
