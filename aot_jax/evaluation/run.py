"""Run a tracker over a split, write its masks, time it, score it. Called by `eval.py`."""

import csv
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from tqdm import tqdm

from aot_jax.evaluation import splits
from aot_jax.evaluation.scoring import FolderScores, score_folders
from aot_jax.io.frames import read_frame
from aot_jax.io.masks import binarise, read_mask
from aot_jax.metrics import Scores, summarise
from aot_jax.tracker import TrackError
from aot_jax.writer import MaskWriter

AHEAD = 4  # frames decoded before they are needed


class StepTracker(Protocol):
    """What a split is run with: `Tracker`, or anything that steps like one."""

    def reset(self) -> None:
        """Forget the video before."""

    def step(self, frame: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Segment the next frame."""


class CompileCount:
    """Counts compilations in this process, so that the frames that wait for one are left out of timings."""

    _event = "/jax/core/compile/backend_compile_duration"
    _count = 0
    _listening = False

    @classmethod
    def value(cls) -> int:
        """Return how many programs have been compiled since the first call."""
        if not cls._listening:
            jax.monitoring.register_event_duration_secs_listener(cls._hear)
            cls._listening = True
        return cls._count

    @classmethod
    def _hear(cls, event: str, *_: object, **__: object) -> None:
        cls._count += event == cls._event


@dataclass(frozen=True)
class Timing:
    """How long a sequence took: the tracker alone, without compilation, reading and writing."""

    frames: int  # timed: predicted ones that met no compilation
    seconds: float

    @property
    def fps(self) -> float:
        """Frames a second, all objects together; nan if no frame was timed."""
        return self.frames / self.seconds if self.seconds else float("nan")


def run_split(tracker: StepTracker, split: splits.Split, output: Path) -> dict[str, Timing]:
    """Segment every sequence of a split and write palette PNGs to `output`/SEQUENCE/FRAME.png.

    Raises:
        FrameError, MaskError: for a file that cannot be used.
        TrackError: for a mask or frame that does not fit, naming the file.
    """
    timings = {}
    total = sum(len(sequence.frames) for sequence in split.sequences)
    with MaskWriter() as writer, tqdm(total=total, unit="frame", desc=split.name, disable=None) as bar:
        for sequence in split.sequences:
            timings[sequence.name] = _run_sequence(tracker, sequence, split.binary, output / sequence.name, writer, bar)
            bar.set_postfix_str(f"{sequence.name} {timings[sequence.name].fps:.2f} fps")
    return timings


def _run_sequence(
    tracker: StepTracker, sequence: splits.Sequence, binary: bool, folder: Path, writer: MaskWriter, bar: tqdm
) -> Timing:
    mask = read_mask(sequence.first_mask)
    mask = binarise(mask) if binary else mask
    tracker.reset()
    seconds, frames = 0.0, 0
    for t, (path, frame) in enumerate(zip(sequence.frames, read_ahead(sequence.frames), strict=True)):
        compiled, start = CompileCount.value(), time.perf_counter()
        try:
            labels = tracker.step(frame, mask if t == 0 else None)
        except TrackError as error:
            files = f"{path} with mask {sequence.first_mask}" if t == 0 else path
            raise TrackError(f"{files}: {error}") from None
        elapsed = time.perf_counter() - start
        if t and CompileCount.value() == compiled:
            seconds, frames = seconds + elapsed, frames + 1
        writer.write(folder / f"{path.stem}.png", labels)
        bar.update()
    return Timing(frames, seconds)


def read_ahead(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Yield frames (h, w, 3) while a thread decodes the next few."""
    with ThreadPoolExecutor(1, thread_name_prefix="frame-reader") as pool:
        waiting = [pool.submit(read_frame, path) for path in paths[:AHEAD]]
        try:
            for path in chain(paths[AHEAD:], [None] * len(waiting)):
                if path is not None:
                    waiting.append(pool.submit(read_frame, path))
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def score_split(split: splits.Split, output: Path, workers: int | None = None) -> FolderScores:
    """Score what `run_split` wrote against the split's ground truth."""
    names = [sequence.name for sequence in split.sequences]
    return score_folders(split.annotations, output, split.binary, workers, sequences=names)


def format_results(scores: Scores, timings: dict[str, Timing]) -> str:
    """Lay out sequence, object, J, F, J&F and frames a second for a terminal."""
    rows = [("sequence", "object", "J", "F", "J&F", "fps"), *_rows(scores, timings)]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"  {cell:>6}" for cell in row[1:]) for row in rows)


def _rows(scores: Scores, timings: dict[str, Timing]) -> Iterator[tuple[str, ...]]:
    for name, objects in scores.items():
        for i, score in objects.items():
            figures = (score.J_mean, score.F_mean, score.JF_mean)
            yield name, str(i), *(f"{figure:.4f}" for figure in figures), f"{timings[name].fps:.2f}"


def overall_fps(timings: dict[str, Timing]) -> float:
    """Return frames a second over all sequences."""
    seconds = sum(timing.seconds for timing in timings.values())
    return sum(timing.frames for timing in timings.values()) / seconds if seconds else float("nan")


def write_results(output: Path, scores: Scores, timings: dict[str, Timing], about: dict[str, object]) -> None:
    """Write scores.csv and scores.json beside the masks; `about` says what was run."""
    with (output / "scores.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sequence", "object", "J", "F", "J&F", "fps"])
        writer.writerows(_rows(scores, timings))
    summary = summarise(scores)
    content = {
        **about,
        "J&F": summary.JF,
        "J": summary.J,
        "F": summary.F,
        "objects": summary.objects,
        "fps": overall_fps(timings),
        "sequences": {
            name: {str(i): {"J": score.J_mean, "F": score.F_mean} for i, score in objects.items()}
            for name, objects in scores.items()
        },
    }
    (output / "scores.json").write_text(json.dumps(content, indent=2) + "\n")
