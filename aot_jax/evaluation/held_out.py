"""Score a network on held-out videos during and after training, next to a baseline that copies the first mask."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np

from aot_jax.evaluation.ground_truth import score_split
from aot_jax.evaluation.run import run_split
from aot_jax.evaluation.splits import Split, SplitVideo, load_split
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import read_frame
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.masks import read_mask
from aot_jax.io.overlay import draw_overlay
from aot_jax.io.video_writer import VideoWriter
from aot_jax.metrics import Summary, summarise
from aot_jax.network import Model, depths_of
from aot_jax.runs import write_json
from aot_jax.tracker.answer import Answer
from aot_jax.tracker.batch import FrameTracker
from aot_jax.tracker.tracker import Tracker

BASELINE = "copied first mask"


class CopyTracker:
    """Baseline without tracking: predicts the latest given mask for every frame."""

    def reset(self) -> None:
        """Forget the video."""
        self._latest = np.zeros((0, 0), np.int32)

    def submit(self, frame: np.ndarray, mask: np.ndarray | None = None) -> Answer:
        """Answer with the latest given mask (h, w)."""
        self._latest = self._latest if mask is None else mask
        return Answer(self._latest)


def score_tracker(tracker: FrameTracker, split: Split, folder: Path, title: str = "") -> Summary:
    """Run a tracker over a split, write its masks to `folder`, and return its scores."""
    run_split([[tracker]], split, folder, title=f"{split.name} {title}".strip())
    return summarise(score_split(split, folder, workers=1).scores)


def score_depths(model: Model, split: Split, folder: Path) -> dict[int, Summary]:
    """Score a network at each of its depths; write masks to `folder`/depthN."""
    # On the CPU, two at a time: compiling and scoring a depth use a single core.
    workers = 2 if jax.default_backend() == "cpu" else 1

    def score(depth: int) -> Summary:
        return score_tracker(Tracker(model, depth), split, folder / f"depth{depth}", f"depth {depth}")

    with ThreadPoolExecutor(workers, thread_name_prefix="depth") as pool:
        # The deepest takes longest, so it starts first.
        running = {depth: pool.submit(score, depth) for depth in reversed(depths_of(model.config))}
        return {depth: running[depth].result() for depth in depths_of(model.config)}


def score_model(model: Model, split: Split, folder: Path) -> dict[str, float]:
    """Score a network at its full depth and, if it is scalable, at each smaller depth: {metric: value}."""
    summaries = score_depths(model, split, folder)
    figures = summaries[max(summaries)].figures
    if len(summaries) > 1:
        figures |= {f"J&F/depth{depth}": summary.JF for depth, summary in summaries.items()}
    return figures


def load_sets(entries: Iterable[str | tuple[str, str]], root: str = "") -> dict[str, Split]:
    """Load the splits of `config.train.evaluate_on` as {title: split}.

    Args:
        entries: names of splits, or (name, folder) with a folder relative to `root` or absolute.
        root: `config.data.root`.

    Raises:
        DataError: an entry is malformed, or a split is missing.
    """
    sets: dict[str, Split] = {}
    for entry in entries:
        name, *folder = (entry,) if isinstance(entry, str) else entry
        if len(folder) > 1 or not all(isinstance(part, str) for part in (name, *folder)):
            raise DataError(f"train.evaluate_on holds {entry!r}; write the name of a split, or (name, folder)")
        title = name if name not in sets else f"{name}-{Path(*folder).name}"
        sets[title] = load_split(name, Path(root, *folder).expanduser() if folder else None)
    return sets


def score_sets(sets: Mapping[str, Split], model: Model, folder: Path) -> dict[str, float]:
    """Score a network on several splits: {TITLE/metric: value} and the mean J&F; write masks to `folder`.

    For a single split, metrics have no title.
    """
    if len(sets) == 1:
        return score_model(model, next(iter(sets.values())), folder)
    scores = {title: score_model(model, split, folder / title) for title, split in sets.items()}
    titled = {f"{title}/{name}": value for title, figures in scores.items() for name, value in figures.items()}
    return {"J&F": float(np.mean([figures["J&F"] for figures in scores.values()])), **titled}


def compare_with_baseline(model: Model, split: Split, folder: Path) -> dict[str, Summary]:
    """Score the baseline and the network at each of its depths: {row name: scores}; write masks to `folder`."""
    rows = {BASELINE: score_tracker(CopyTracker(), split, folder / "copy")}
    return rows | {f"depth {depth}": row for depth, row in score_depths(model, split, folder).items()}


def report_run(model: Model, split: Split, run: Path) -> str:
    """Score a finished run at every depth, next to the baseline, and draw a video; return a text to print.

    Writes `run`/scores.json, `run`/tracked.mp4 and the masks in `run`/evaluation.
    """
    folder = run / "evaluation"
    rows = compare_with_baseline(model, split, folder)
    scores = {name: row.figures for name, row in rows.items()}
    write_json(run / "scores.json", {"split": split.name, "scores": scores})
    draw_video(split, folder / f"depth{depths_of(model.config)[-1]}", run / "tracked.mp4")
    lines = [f"{split.name}: {len(split.sequences)} videos, {rows[BASELINE].objects} objects"]
    lines += [f"{'':<18}    J&F      J      F"]
    lines += [f"{name:<18} {row.JF:.4f} {row.J:.4f} {row.F:.4f}" for name, row in rows.items()]
    return "\n".join([*lines, f"scores: {run / 'scores.json'}", f"video: {run / 'tracked.mp4'}"])


def draw_video(split: Split, masks: Path, path: Path, scale: int = 2, fps: float = 10) -> None:
    """Write an MP4 of the split's video with the most objects, overlaid with the masks in folder `masks`."""

    def objects(sequence: SplitVideo) -> int:
        return len(read_masks(sequence.first_mask).ids)

    sequence = max(split.sequences, key=objects)
    with VideoWriter(path, fps) as writer:
        for frame in sequence.frames:
            picture = read_frame(frame).repeat(scale, axis=0).repeat(scale, axis=1)
            labels = read_mask(masks / sequence.name / f"{frame.stem}.png")
            writer.write(draw_overlay(picture, labels.repeat(scale, axis=0).repeat(scale, axis=1)))
