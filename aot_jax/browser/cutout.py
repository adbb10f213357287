"""Segment an object from a box or a few strokes along image edges, with OpenCV's GrabCut."""

import cv2
import numpy as np

from aot_jax.browser.session import SessionError

ROUNDS = 5  # iterations of GrabCut
LONG_EDGE = 600  # longest edge of GrabCut's input in pixels; larger regions are scaled down, their masks back up
AROUND_BOX = 0.25  # margin around a box relative to its sides, to learn the background's colours
AROUND_STROKES = 0.75  # margin around strokes, larger since they cover only part of the object


def cut_out(
    pixels: np.ndarray, strokes: np.ndarray, others: np.ndarray, box: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """Segment an object.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        strokes: (h, w) bool, pixels drawn as the object; used if there is no box.
        others: (h, w) bool, pixels of other objects, which do not change.
        box: x0, y0, x1, y1 in pixels around the whole object, x1 and y1 excluded.

    Returns:
        (h, w) bool.

    Raises:
        SessionError: there are no strokes, or the box contains no pixels of the frame, or no object.
    """
    height, width = strokes.shape
    if box is None:
        ys, xs = np.nonzero(strokes)
        if not len(xs):
            raise SessionError("draw a few strokes on the object first, or a box around it")
        x0, y0, x1, y1 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    else:
        x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            raise SessionError("this box holds no pixels of the frame; draw a larger one")
    share = AROUND_STROKES if box is None else AROUND_BOX
    across, down = max(8, round(share * (x1 - x0))), max(8, round(share * (y1 - y0)))
    left, top = max(x0 - across, 0), max(y0 - down, 0)
    window = np.s_[top : min(y1 + down, height), left : min(x1 + across, width)]
    state = np.full(strokes.shape, cv2.GC_BGD, np.uint8)
    if box is None:
        state[window] = cv2.GC_PR_BGD
        state[strokes] = cv2.GC_FGD
    else:
        state[y0:y1, x0:x1] = cv2.GC_PR_FGD
    state[others] = cv2.GC_BGD
    found = np.zeros(strokes.shape, bool)
    found[window] = _grab(pixels[window], state[window])
    found = (found | strokes if box is None else found) & ~others
    if not found.any():
        raise SessionError(
            "nothing in this box differs from its surroundings: draw strokes on the object and refine them"
        )
    return found


def _grab(pixels: np.ndarray, state: np.ndarray) -> np.ndarray:
    height, width = state.shape
    scale = min(1.0, LONG_EDGE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(state, size, interpolation=cv2.INTER_NEAREST)
    sure = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not sure.any() or sure.all():  # no background or no object
        return np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the same strokes give the same mask
    unused = (0, 0, *size)  # rectangle, ignored with GC_INIT_WITH_MASK
    cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), labels, unused, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    chosen = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(chosen, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
