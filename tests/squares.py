"""Masks of squares, to be scored."""

import numpy as np


def square(top, left, side, shape=(20, 30)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def sequence(frames=5, shape=(20, 30)):
    """Objects 2 and 7 on the move, and a prediction that loses object 7 in frame 2."""
    truths = [2 * square(2, 2 + t, 6) + 7 * square(11, 20 - t, 5) for t in range(frames)]
    predictions = [truth.copy() for truth in truths]
    predictions[2][predictions[2] == 7] = 0
    return truths, predictions
