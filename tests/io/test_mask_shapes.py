"""Polygons and run lengths become exact masks."""

import numpy as np
import pytest

from aot_jax.io.mask_sets.shapes import decode_runs, fill


def test_fill_takes_pixels_whose_centre_is_inside():
    triangle = np.array([[0, 0], [4, 0], [0, 4]])
    assert fill([triangle], (4, 4)).astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    ring = [np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]]), np.array([[1, 1], [2, 1], [2, 2]])]
    assert fill(ring, (3, 5)).all()


def test_runs_of_other_lengths_are_refused():
    assert decode_runs([1, 2, 3], (2, 3)).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    for counts in ([1, 2], [7, -1], ["6"], [6.0], "0"):
        with pytest.raises(ValueError, match="run lengths"):
            decode_runs(counts, (2, 3))
