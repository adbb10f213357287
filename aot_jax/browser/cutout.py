"""Turn a box or a few strokes into an object's mask along the edges of the picture, by OpenCV's GrabCut."""

import cv2
import numpy as np

ROUNDS = 5  # iterations of GrabCut
LONG_EDGE = 600  # pixels: larger regions are cut out at this size, and their edges scaled back up
AROUND_BOX = 0.25  # share of the box's sides looked at around it, to learn the background's colours
AROUND_STROKES = 0.75  # the same around strokes, which cover only part of their object


def cut_out(
    pixels: np.ndarray, strokes: np.ndarray, others: np.ndarray, box: tuple[int, int, int, int] | None = None
) -> np.ndarray:
    """Find an object's pixels.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        strokes: (h, w) bool, pixels drawn as the object; used where there is no box.
        others: (h, w) bool, pixels of other objects, which stay theirs.
        box: x0, y0, x1, y1 in pixels, x1 and y1 not included, around the whole object.

    Returns:
        (h, w) bool.

    Raises:
        ValueError: if there are neither strokes nor a box with pixels of the frame in it.
    """
    height, width = strokes.shape
    if box is None:
        ys, xs = np.nonzero(strokes)
        if not len(xs):
            raise ValueError("draw a few strokes on the object first, or a box around it")
        x0, y0, x1, y1 = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    else:
        x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
        if x1 - x0 < 2 or y1 - y0 < 2:
            raise ValueError("this box holds no pixels of the frame; draw a larger one")
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
    return (found | strokes if box is None else found) & ~others


def _grab(pixels: np.ndarray, state: np.ndarray) -> np.ndarray:
    height, width = state.shape
    scale = min(1.0, LONG_EDGE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(state, size, interpolation=cv2.INTER_NEAREST)
    sure = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not sure.any() or sure.all():  # nothing to tell apart
        return np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD))
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the same strokes give the same mask
    whole = (0, 0, *size)  # of no meaning with a mask
    cv2.grabCut(np.ascontiguousarray(small[..., ::-1]), labels, whole, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    chosen = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(chosen, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
