"""J and F: scores computed by hand, a slow reference, scores of the official toolkit."""

import math

import numpy as np
import pytest
from squares import sequence, square

from aot_jax.evaluation.report import format_table, write_csv
from aot_jax.metrics import (
    MetricsError,
    ObjectScore,
    boundary_measure,
    region_similarity,
    score_frame,
    score_sequence,
    summarise,
)


def slow_boundary(mask):
    """Return boundary pixels, found one by one; the lower right corner has no neighbours to compare."""
    height, width = mask.shape
    found = set()
    for y in range(height):
        for x in range(width):
            if y == height - 1:
                neighbours = [(y, x + 1)]
            elif x == width - 1:
                neighbours = [(y + 1, x)]
            else:
                neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(b < width and mask[y, x] != mask[a, b] for a, b in neighbours):
                found.add((y, x))
    return found


def slow_f(truth, prediction):
    radius = math.ceil(0.008 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    a, b = slow_boundary(truth), slow_boundary(prediction)
    if not a or not b:
        return float(not a and not b)

    def share(points, others):
        hits = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in points]
        return sum(hits) / len(hits)

    precision, recall = share(b, a), share(a, b)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_j_by_hand():
    a, b = square(2, 2, 4), square(4, 4, 4)  # 16 pixels each, 4 shared
    assert region_similarity(a, b) == 4 / 28
    assert region_similarity(a, a) == 1
    assert region_similarity(a, square(10, 10, 4)) == 0
    empty = np.zeros_like(a)
    assert region_similarity(empty, empty) == 1
    assert region_similarity(a, empty) == region_similarity(empty, a) == 0


def test_f_by_hand():
    # 20 x 30: radius ceil(.008 * 36.06) = 1. The boundary of a 4 x 4 square at (y, x) is the outline of the 5 x 5
    # square at (y - 1, x - 1): 16 pixels.
    a = square(5, 5, 4)
    assert boundary_measure(a, a) == 1
    assert boundary_measure(a, square(5, 6, 4)) == 1  # every pixel is one step away
    # Two to the right: columns 4..8 against 6..10. In the top and the bottom row columns 5..8 are near (4 each), on the
    # inner side the two pixels next to those rows; the rest is two steps from everything: 10 of 16, both ways.
    assert boundary_measure(a, square(5, 7, 4)) == 10 / 16
    assert boundary_measure(a, square(14, 24, 4)) == 0


def test_f_of_empty_and_full_masks():
    a, empty, full = square(5, 5, 4), np.zeros((20, 30), bool), np.ones((20, 30), bool)
    assert boundary_measure(empty, empty) == 1
    assert boundary_measure(full, full) == boundary_measure(empty, full) == 1  # neither has a boundary
    assert boundary_measure(a, empty) == boundary_measure(empty, a) == 0


def test_f_at_the_image_border():
    # In the last row the lower neighbours are missing, in the last column the right ones; the corner has none.
    corner = np.zeros((3, 3), bool)
    corner[2, 2] = True  # boundary: (1, 1), (1, 2), (2, 1)
    middle = np.zeros((3, 3), bool)
    middle[1, 1] = True  # boundary: (0, 0), (0, 1), (1, 0), (1, 1)
    assert slow_boundary(corner) == {(1, 1), (1, 2), (2, 1)}
    assert slow_boundary(middle) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    # radius 1: all three of the corner's are within 1 of (1, 1); of the middle's only (0, 0) is not within 1 of them
    assert boundary_measure(middle, corner) == pytest.approx(2 * 1 * 0.75 / 1.75)


@pytest.mark.parametrize(
    ("shape", "densities"),
    [
        ((1, 1), (0.5,)),
        ((1, 9), (0.1, 0.5)),
        ((7, 1), (0.1, 0.5)),
        ((13, 17), (0.02, 0.3, 0.9)),
        ((40, 30), (0.01, 0.3, 0.99)),
        ((150, 210), (0.0005, 0.005)),  # radius 3
    ],
)
def test_f_equals_a_slow_reference(shape, densities):
    rng = np.random.default_rng(shape[1])
    for density in densities:
        truth = rng.random(shape) < density
        prediction = np.roll(truth, (1, 3), (0, 1)) ^ (rng.random(shape) < density / 2)
        expected = slow_f(truth, prediction)
        assert 0 < expected < 1 or min(shape) == 1
        assert boundary_measure(truth, prediction) == pytest.approx(expected, abs=1e-12)
        assert boundary_measure(prediction, truth) == pytest.approx(expected, abs=1e-12)


def test_f_tolerates_exactly_the_disk_radius():
    shape = (480, 854)  # radius ceil(.008 * 979.66) = 8
    a = np.zeros(shape, bool)
    a[100] = True  # boundary: rows 99 and 100, all columns
    for shift, expected in ((8, 1.0), (9, 0.5), (10, 0.0)):
        assert boundary_measure(a, np.roll(a, shift, 0)) == pytest.approx(expected)


def test_void_pixels_count_for_nothing():
    a, b = square(5, 5, 6), square(5, 5, 6) | square(5, 11, 6)
    void = square(5, 11, 6)
    for truth, prediction in ((a, b), (b, a)):
        assert region_similarity(truth, prediction) == 0.5
        assert region_similarity(truth, prediction, void) == 1
        assert boundary_measure(truth, prediction) < 1
        assert boundary_measure(truth, prediction, void) == 1


def test_different_shapes_are_refused():
    with pytest.raises(MetricsError, match=r"\(2, 3\) and \(3, 2\)"):
        region_similarity(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
    with pytest.raises(MetricsError, match="one shape"):
        boundary_measure(np.zeros((2, 3), bool), np.zeros((2, 3), bool), np.zeros((2, 2), bool))


def test_the_first_and_the_last_frame_are_not_scored():
    truths, predictions = sequence()
    predictions[0] = predictions[0] * 0
    scores = score_sequence(truths, predictions)
    assert list(scores) == [2, 7]
    assert scores[7].J.tolist() == scores[7].F.tolist() == [1, 0, 1]
    assert scores[7].J_mean == scores[7].F_mean == scores[7].JF_mean == pytest.approx(2 / 3)
    assert scores[2].J_mean == 1


def test_ids_are_those_of_the_first_frame():
    truths, predictions = sequence()
    truths[0][truths[0] == 7] = 255
    assert list(score_sequence(truths, predictions)) == [2]
    assert list(score_sequence(truths, predictions, binary=True)) == [1]
    assert score_frame(truths[1], predictions[1], [9]) == [[1, 1]]  # absent from both sides


def test_truth_255_is_void_except_in_binary_scoring():
    truths, predictions = sequence()
    for truth in truths[1:]:
        truth[truth == 7] = 255
    for prediction in predictions:
        prediction[prediction == 7] = 2  # spills onto the void
    assert score_sequence(truths, predictions)[2].J_mean == 1
    assert score_sequence(truths, predictions, binary=True)[1].J.tolist() == [1, 36 / 61, 1]


def test_sequences_that_cannot_be_scored_are_refused():
    truths, predictions = sequence()
    for frames in (2, 4):
        with pytest.raises(MetricsError, match=f"5 frames of ground truth, {frames} predicted"):
            score_sequence(truths, predictions[:frames])
    with pytest.raises(MetricsError, match="three or more"):
        score_sequence(truths[:2], predictions[:2])
    with pytest.raises(MetricsError, match="holds no object"):
        score_sequence([truths[0] * 0] * 3, predictions[:3])
    with pytest.raises(MetricsError, match=r"\(20, 30\) and \(30, 20\)"):
        score_sequence(truths, [mask.T for mask in predictions])


def score(value, frames=3):
    return ObjectScore(np.full(frames, value), np.full(frames, value / 2))


def test_summary_is_a_mean_over_objects_not_sequences(tmp_path):
    scores = {"a": {1: score(1.0), 2: score(0.8)}, "longer": {1: score(0.3)}}
    summary = summarise(scores)
    assert (summary.J, summary.F, summary.JF, summary.objects) == pytest.approx((0.7, 0.35, 0.525, 3))
    assert str(summary) == "J&F 0.5250  J 0.7000  F 0.3500"
    assert format_table(scores).splitlines() == [
        "sequence  object       J       F     J&F",
        "a              1  1.0000  0.5000  0.7500",
        "a              2  0.8000  0.4000  0.6000",
        "longer         1  0.3000  0.1500  0.2250",
    ]
    write_csv(tmp_path / "new" / "scores.csv", scores)
    lines = (tmp_path / "new" / "scores.csv").read_text().splitlines()
    assert lines[0] == "sequence,object,J,F,J&F"
    assert lines[2] == "a,2,0.800000,0.400000,0.600000"
    assert lines[-1] == "mean,,0.700000,0.350000,0.525000"
    with pytest.raises(MetricsError, match="no object"):
        summarise({})


def discs(seed, frames, height, width, objects):
    """Draw the moving discs for which the toolkit was run; images are drawn first, from the same random numbers."""
    rng = np.random.default_rng(seed)
    rng.standard_normal((frames, 3, height, width))
    centre, velocity = rng.uniform(0.2, 0.8, (objects, 2)), rng.uniform(-0.03, 0.03, (objects, 2))
    radius = rng.uniform(0.08, 0.2, objects) * min(height, width)
    ys, xs = np.mgrid[:height, :width]
    masks = np.zeros((frames, height, width), np.int32)
    for t in range(frames):
        for o in range(objects):
            cy, cx = (centre[o] + velocity[o] * t) * [height, width]
            masks[t][(ys - cy) ** 2 + (xs - cx) ** 2 < radius[o] ** 2] = o + 1
    return masks


def rolled(truths, objects):
    predictions = np.stack([np.roll(truth, (t, 2 * t), (0, 1)) for t, truth in enumerate(truths)])
    predictions[-2:][predictions[-2:] == objects] = 0
    predictions[3] = 0
    return predictions


def test_figures_of_the_official_toolkit():
    # Three of its scores, so that this file is self-contained: discs(51, 7, 120, 200, 3), object 1.
    truths = discs(51, 7, 120, 200, 3)
    found = score_sequence(truths, rolled(truths, 3))
    assert found[1].J[[0, 1, 3]].tolist() == pytest.approx(
        [0.8714185883997205, 0.7582128777923784, 0.570926143024619], abs=1e-12
    )
    assert found[1].F[[0, 1, 3]].tolist() == pytest.approx(
        [0.8885440065346131, 0.37795043273013373, 0.19977965479250825], abs=1e-12
    )
