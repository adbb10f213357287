"""Types of command-line flags that refuse a number out of range in one line."""

import argparse
import math
from collections.abc import Callable


def at_least(low: int) -> Callable[[str], int]:
    """Return a type for argparse: whole numbers from `low` up."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} up")
        return value

    return number


def above_zero(text: str) -> float:
    """Read a positive number for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value
