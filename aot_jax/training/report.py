"""Outputs of training: a progress bar, lines of figures, TensorBoard, pictures.

RUN/figures.jsonl     losses, learning rates ..., one JSON object a line
RUN/tensorboard/      the same as scalars, if TensorFlow is installed
RUN/pictures/         frames above, true masks in the middle, predicted masks below
"""

import contextlib
import json
import math
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image
from tqdm import tqdm

from aot_jax.io.overlay import draw_overlay
from aot_jax.start.quiet_tensorflow import load_tensorflow


class Report:
    """Context manager of the outputs of a run; a `quiet` one (processes other than 0) writes nothing."""

    def __init__(self, run: Path, steps: int, start: int, quiet: bool = False) -> None:
        self._run, self._quiet = run, quiet
        self._bar = tqdm(total=steps, initial=start, unit="step", desc=run.name, disable=True if quiet else None)
        self._lines: TextIO | None = None
        self._board: Any = None
        if not quiet:
            run.mkdir(parents=True, exist_ok=True)
            self._lines = (run / "figures.jsonl").open("a", encoding="utf-8")
            with contextlib.suppress(ImportError):
                self._tf = load_tensorflow()
                self._board = self._tf.summary.create_file_writer(str(run / "tensorboard"))

    def advance(self, loss: float | None = None, overlap: float | None = None) -> None:
        """Advance the bar by one step, with new values of loss and J if given."""
        self._bar.update()
        if loss is not None:
            self._bar.set_postfix(loss=f"{loss:.3f}", J=f"{overlap:.3f}", refresh=False)

    def figures(self, step: int, figures: dict[str, Any]) -> None:
        """Write a line of figures; an array (t, l) becomes one scalar an entry, such as losses/frame1/depth2."""
        if self._lines is None:
            return
        flat: dict[str, float] = {}
        for name, value in figures.items():
            value = np.asarray(value, np.float64)
            if value.ndim == 2:
                flat |= {
                    f"{name}/frame{t}/depth{layer + 1}": float(value[t, layer]) for t, layer in np.ndindex(*value.shape)
                }
            else:
                flat[name] = float(value)
        # JSON has no NaN: a value that is not finite becomes null.
        line = {"step": step} | {name: value if math.isfinite(value) else None for name, value in flat.items()}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        if self._board:
            with self._board.as_default(step=step):
                for name, value in flat.items():
                    self._tf.summary.scalar(name, value)

    def picture(self, step: int, images: np.ndarray, masks: np.ndarray, labels: np.ndarray) -> None:
        """Write a picture of one clip: images (t, h, w, 3) uint8, masks and labels (t, h, w) ids."""
        if self._quiet:
            return
        rows = [list(images)]
        rows += [[draw_overlay(*pair, ids=False) for pair in zip(images, ids, strict=True)] for ids in (masks, labels)]
        picture = np.concatenate([np.concatenate(row, 1) for row in rows])
        folder = self._run / "pictures"
        folder.mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{step:07d}.jpg", quality=90)
        if self._board:
            with self._board.as_default(step=step):
                self._tf.summary.image("clip", picture[None])

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if not self._quiet:
            self._bar.write(text)

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._lines:
            self._lines.close()
        if self._board:
            self._board.close()
