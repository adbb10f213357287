"""Score a network on a split as eval.py does, and the baseline that copies the first mask. Called while training."""

from pathlib import Path

import numpy as np

from aot_jax.checkpoint import Model
from aot_jax.evaluation.run import StepTracker, run_split, score_split
from aot_jax.evaluation.splits import Split
from aot_jax.metrics import Summary, summarise
from aot_jax.tracker import Tracker


class CopyTracker:
    """Answers every frame with the first mask: what a video scores without any tracking."""

    def reset(self) -> None:
        """Forget the video."""
        self._mask: np.ndarray | None = None

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Return the first mask (h, w)."""
        del frame
        if mask is not None:
            self._mask = mask
        return self._mask


def score_tracker(tracker: StepTracker, split: Split, folder: Path) -> Summary:
    """Run a tracker over a split, write its masks to `folder`, return J, F and J&F."""
    run_split(tracker, split, folder)
    return summarise(score_split(split, folder, workers=1).scores)


def score_model(model: Model, split: Split, folder: Path) -> dict[str, float]:
    """Score a network at its full depth; and, for scalable ones, at each smaller depth."""
    full = model.config.model.depth
    depths = range(1, full + 1) if model.config.model.scalable else [full]
    figures = {}
    for depth in depths:
        summary = score_tracker(Tracker(model, depth), split, folder / f"depth{depth}")
        figures |= {f"J&F/depth{depth}": summary.JF}
    return {"J&F": summary.JF, "J": summary.J, "F": summary.F} | (figures if len(depths) > 1 else {})
