"""Compute J and F of label maps against ground truth, as the official DAVIS toolkit does.

    python -m aot_jax.metrics --ground_truth DAVIS/Annotations/480p --prediction results/davis17 \
        --sequences DAVIS/ImageSets/2017/val.txt

J is region similarity (intersection over union), F is boundary accuracy (Perazzi et al., CVPR 2016, section 4). An
object's score is the mean over its frames without the first and the last; the score of a set is the mean over all
objects, not over sequences.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from aot_jax.errors import ReportedError
from aot_jax.io.masks import object_ids
from aot_jax.typing import VOID

TOLERANCE = 0.008  # largest distance between matching boundaries for F, as a fraction of the image's diagonal


class MetricsError(ReportedError):
    """A prediction cannot be scored; the message says why."""


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object in each scored frame of a sequence."""

    J: np.ndarray  # (t,) float64 in 0..1
    F: np.ndarray  # (t,) likewise

    @property
    def J_mean(self) -> float:
        """Mean J of the frames."""
        return float(np.mean(self.J))

    @property
    def F_mean(self) -> float:
        """Mean F of the frames."""
        return float(np.mean(self.F))

    @property
    def JF_mean(self) -> float:
        """Mean of J and F."""
        return (self.J_mean + self.F_mean) / 2


@dataclass(frozen=True)
class Summary:
    """Means over objects; `str()` gives the line to quote."""

    J: float
    F: float
    objects: int  # number of objects

    @property
    def JF(self) -> float:
        """Mean of J and F."""
        return (self.J + self.F) / 2

    @property
    def figures(self) -> dict[str, float]:
        """The means by name."""
        return {"J&F": self.JF, "J": self.J, "F": self.F}

    def __str__(self) -> str:
        return f"J&F {self.JF:.4f}  J {self.J:.4f}  F {self.F:.4f}"


Scores = Mapping[str, Mapping[int, ObjectScore]]  # sequence name -> object id -> score


def region_similarity(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute J: the intersection of two masks over their union; 1 if both are empty.

    Args:
        truth: mask (h, w), nonzero on the object.
        prediction: mask (h, w), likewise.
        void: (h, w), nonzero on pixels to ignore; None: none.

    Raises:
        MetricsError: the shapes differ.

    Example:
        >>> truth, prediction = np.zeros((2, 4, 4), int)
        >>> truth[:, :2], prediction[:, 1:3] = 1, 1
        >>> region_similarity(truth, prediction)  # 4 pixels of 12
        0.3333333333333333
    """
    truth, prediction = _object_masks(truth, prediction, void)
    union = np.count_nonzero(truth | prediction)
    return float(np.count_nonzero(truth & prediction) / union) if union else 1.0


def boundary_measure(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute F: the harmonic mean of precision and recall of two masks' boundary pixels.

    A boundary pixel matches if the other boundary has a pixel within ceil(.008 * diagonal). If neither mask has a
    boundary, F is 1; if only one has, F is 0. Arguments and errors as in `region_similarity`.

    Example:
        >>> truth, prediction = np.zeros((2, 8, 8), int)
        >>> truth[2:6, 2:6] = prediction[2:6, 2:6] = 1
        >>> boundary_measure(truth, prediction)
        1.0
        >>> boundary_measure(truth, np.zeros((8, 8)))
        0.0
    """
    truth, prediction = _object_masks(truth, prediction, void)
    true, found = _boundary(truth), _boundary(prediction)
    if not true.any() or not found.any():
        return float(true.any() == found.any())
    x, y, width, height = cv2.boundingRect((true | found).view(np.uint8))
    true, found = (boundary[y : y + height, x : x + width] for boundary in (true, found))
    radius = math.ceil(TOLERANCE * math.hypot(*truth.shape))
    precision, recall = _near(true, radius)[found].mean(), _near(found, radius)[true].mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def score_frame(
    truth: np.ndarray, prediction: np.ndarray, ids: Sequence[int], binary: bool = False
) -> list[list[float]]:
    """Compute [J, F] of each object in one frame. The J and F of an object in neither mask are 1.

    Args:
        truth: ids (h, w); pixels with 255 are void and ignored, unless `binary`. (The toolkit intends the same; DAVIS
            has no void pixels.)
        prediction: ids (h, w).
        ids: ids to score.
        binary: merge ids above 0 into one object in both masks, as for DAVIS 2016.

    Raises:
        MetricsError: the shapes differ.
    """
    if binary:
        pairs, void = [(truth > 0, prediction > 0)], None
    else:
        void = truth == VOID if (truth == VOID).any() else None
        pairs = [(truth == i, prediction == i) for i in ids]
    return [[region_similarity(*pair, void), boundary_measure(*pair, void)] for pair in pairs]


def score_sequence(
    truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray], binary: bool = False
) -> dict[int, ObjectScore]:
    """Score the objects of a sequence's first frame in all frames but the first and the last, as DAVIS does.

    Args:
        truths: ids (h, w) of each frame.
        predictions: ids (h, w) of each frame.
        binary: as in `score_frame`; the object's id is 1.

    Returns:
        {id: score}.

    Raises:
        MetricsError: sizes or numbers of frames differ, or there are fewer than three, or no object in the first.

    Example:
        >>> truths = np.zeros((4, 8, 8), int)
        >>> truths[:, 2:6, 2:6] = 3
        >>> score_sequence(truths, np.where(truths, [[3] * 4 + [0] * 4], 0))[3].J
        array([0.5, 0.5])
    """
    if len(truths) != len(predictions) or len(truths) < 3:
        raise MetricsError(
            f"{len(truths)} frames of ground truth, {len(predictions)} predicted; give as many of both, three or more"
        )
    ids = [1] if binary else [i for i in object_ids(truths[0]) if i != VOID]
    if not ids:
        raise MetricsError("the first ground-truth frame holds no object; score a sequence whose first frame has one")
    frames = zip(truths[1:-1], predictions[1:-1], strict=True)
    figures = np.array([score_frame(*frame, ids, binary) for frame in frames])  # (t, o, 2)
    return {i: ObjectScore(*figures[:, o].T) for o, i in enumerate(ids)}


def summarise(scores: Scores) -> Summary:
    """Average over all objects of all sequences.

    Raises:
        MetricsError: there is no object.

    Example:
        >>> one, two = (ObjectScore(np.full(5, j), np.full(5, 1.0)) for j in (0.5, 0.7))
        >>> print(summarise({"bear": {1: one, 2: two}}))
        J&F 0.8000  J 0.6000  F 1.0000
    """
    objects = [score for sequence in scores.values() for score in sequence.values()]
    if not objects:
        raise MetricsError("there is no object to average over; score at least one sequence")
    J, F = (float(np.mean([getattr(score, mean) for score in objects])) for mean in ("J_mean", "F_mean"))
    return Summary(J, F, len(objects))


def _object_masks(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Convert both masks to bool and clear them at `void`; refuse different shapes."""
    truth, prediction = np.asarray(truth).astype(bool, copy=False), np.asarray(prediction).astype(bool, copy=False)
    shapes = {array.shape for array in (truth, prediction, void) if array is not None}
    if len(shapes) > 1 or truth.ndim != 2:
        raise MetricsError(f"masks must be (h, w) and of one shape, not {' and '.join(map(str, sorted(shapes)))}")
    if void is None:
        return truth, prediction
    counts = ~np.asarray(void, bool)
    return truth & counts, prediction & counts


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Return (h, w) bool: pixels that differ from their right, lower or lower right neighbour.

    In the last row only the right neighbour is compared, in the last column only the lower one, in the corner none.
    """
    boundary = np.zeros_like(mask)
    inner = mask[:-1, :-1]
    boundary[:-1, :-1] = (inner ^ mask[:-1, 1:]) | (inner ^ mask[1:, :-1]) | (inner ^ mask[1:, 1:])
    boundary[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    boundary[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return boundary


def _near(boundary: np.ndarray, radius: int) -> np.ndarray:
    """Return (h, w) bool: pixels within `radius` of a boundary pixel."""
    return cv2.distanceTransform((~boundary).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius
