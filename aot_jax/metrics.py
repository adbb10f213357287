"""J and F of label maps against ground truth, computed as the official DAVIS toolkit computes them.

Called by eval.py, by the quickstart's held-out score, and from a shell:

    python -m aot_jax.metrics --ground_truth DAVIS/Annotations/480p --prediction results/davis17 \
        --sequences DAVIS/ImageSets/2017/val.txt

J is region similarity (intersection over union), F is boundary accuracy (Perazzi et al., CVPR 2016, section 4). An
object's figure is the mean over the frames between the first and the last; a set's figure is the mean over all of its
objects, not over sequences.
"""

import argparse
import csv
import math
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import tee, zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aot_jax.io.frames import FrameError, list_frames
from aot_jax.io.masks import MaskError, read_mask

VOID = 255  # ground-truth pixels of this id count for nothing
TOLERANCE = 0.008  # of F: how far apart two boundaries may lie, as a fraction of the image's diagonal
MAX_PROBLEMS = 20  # that one error message lists


class MetricsError(ValueError):
    """Says what keeps a prediction from being scored."""


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object in every frame of a sequence."""

    J: np.ndarray  # (t,) float64 in 0..1; NaN where a frame that is not scored has no prediction
    F: np.ndarray  # (t,)
    skip_ends: bool = True  # the means leave out the first and the last frame

    @property
    def J_mean(self) -> float:
        """Mean J of the scored frames."""
        return float(np.mean(self.J[1:-1] if self.skip_ends else self.J))

    @property
    def F_mean(self) -> float:
        """Mean F of the scored frames."""
        return float(np.mean(self.F[1:-1] if self.skip_ends else self.F))

    @property
    def JF_mean(self) -> float:
        """Mean of J and F."""
        return (self.J_mean + self.F_mean) / 2


@dataclass(frozen=True)
class Summary:
    """Means over objects; `str()` gives the one line to quote."""

    J: float
    F: float
    objects: int

    @property
    def JF(self) -> float:
        """Mean of J and F."""
        return (self.J + self.F) / 2

    def __str__(self):
        return f"J&F {self.JF:.4f}  J {self.J:.4f}  F {self.F:.4f}"


Scores = Mapping[str, Mapping[int, ObjectScore]]  # sequence name -> object id -> score


@dataclass(frozen=True)
class FolderScores:
    """What `score_folders` found."""

    scores: Scores
    warnings: tuple[str, ...]  # for a person; nothing that keeps the figures from being right


def region_similarity(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute J: the intersection of two masks over their union; 1 if both are empty.

    Args:
        truth: (h, w), nonzero is object.
        prediction: (h, w), likewise.
        void: (h, w), pixels to leave out; None for none.

    Raises:
        MetricsError: the shapes differ.
    """
    truth, prediction = _object_masks(truth, prediction, void)
    union = np.count_nonzero(truth | prediction)
    return np.count_nonzero(truth & prediction) / union if union else 1.0


def boundary_measure(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """Compute F: the harmonic mean of precision and recall of two masks' boundary pixels.

    A boundary pixel counts as found if the other boundary has a pixel within ceil(.008 * diagonal). Without any
    boundary on both sides F is 1, on one side 0. Arguments and errors as in `region_similarity`.
    """
    truth, prediction = _object_masks(truth, prediction, void)
    truth_boundary, prediction_boundary = _boundary(truth), _boundary(prediction)
    truth_points, prediction_points = np.nonzero(truth_boundary), np.nonzero(prediction_boundary)
    if not truth_points[0].size or not prediction_points[0].size:
        return float(truth_points[0].size == prediction_points[0].size)
    radius = math.ceil(TOLERANCE * math.hypot(*truth.shape))
    precision = _near(prediction_points, truth_boundary, truth_points, radius).mean()
    recall = _near(truth_points, prediction_boundary, prediction_points, radius).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def score_sequence(
    truths: Iterable[np.ndarray],
    predictions: Iterable[np.ndarray | None],
    ids: Sequence[int] | None = None,
    binary: bool = False,
    skip_ends: bool = True,
) -> dict[int, ObjectScore]:
    """Score the label maps of one sequence, frame by frame, holding one pair at a time.

    Ground truth of id 255 is void and left out on both sides, unless `binary`. (The toolkit has the same intention;
    DAVIS itself holds no void.)

    Args:
        truths: (h, w) ids each.
        predictions: as many; None stands for no prediction, in frames that are not scored.
        ids: the objects to score. None: those of the first ground truth, 255 excepted, as in DAVIS, where every
            object is there from the start. An id absent from both sides of a frame has J = F = 1 there.
        binary: score "any object" (ids above 0 on both sides) as object 1, as DAVIS 2016 does.
        skip_ends: leave the first and the last frame out of the means, as DAVIS does.

    Raises:
        MetricsError: sizes or numbers of frames differ, a scored frame has no prediction, there is no object, or no
            frame is left to score.
    """
    rows = []
    ids = [1] if binary else None if ids is None else [int(i) for i in ids]
    for t, (truth, prediction) in enumerate(zip_longest(truths, predictions, fillvalue=...)):
        if truth is ... or prediction is ...:
            which = "ground truth" if truth is ... else "prediction"
            raise MetricsError(f"the {which} ends after {t} frames, before the other; give one of each for every frame")
        truth = np.asarray(truth)
        if ids is None:
            ids = [i for i in _ids(truth) if i != VOID]
        if prediction is None:
            rows.append(np.full((len(ids), 2), np.nan))
            continue
        prediction = np.asarray(prediction)
        if truth.shape != prediction.shape:
            raise MetricsError(
                f"frame {t}: the ground truth is {truth.shape} (h, w), the prediction {prediction.shape}"
            )
        void = None if binary or not (truth == VOID).any() else truth == VOID
        pairs = [(truth > 0, prediction > 0)] if binary else [(truth == i, prediction == i) for i in ids]
        rows.append([[region_similarity(*pair, void), boundary_measure(*pair, void)] for pair in pairs])
    if not rows:
        raise MetricsError("there is no frame; give at least one, or three where the first and the last are skipped")
    if not ids:
        raise MetricsError("the first ground-truth frame holds no object; score a sequence whose first frame has one")
    figures = np.array(rows, float)  # (t, o, 2)
    first = 1 if skip_ends else 0
    missing = np.flatnonzero(np.isnan(figures[first : len(rows) - first]).any((1, 2))) + first
    if missing.size:
        raise MetricsError(f"no prediction for frames {missing.tolist()}; only frames that are not scored may lack one")
    if len(rows) <= 2 * first:
        raise MetricsError(f"{len(rows)} frames: none is left to score (the first and the last are skipped)")
    return {i: ObjectScore(*figures[:, o].T, skip_ends) for o, i in enumerate(ids)}


def score_folders(
    ground_truth: str | Path,
    prediction: str | Path,
    binary: bool = False,
    workers: int | None = None,
    progress: bool = True,
    sequences: Sequence[str] | None = None,
    skip_ends: bool = True,
) -> FolderScores:
    """Score folders of masks, `SEQUENCE/FRAME.png` each, or the PNGs of a single sequence.

    The frames are those of the ground truth; further predicted ones do not matter. As for the toolkit, the first and
    the last need no prediction when they are not scored. Processes are spawned: a script that calls this needs the
    usual `if __name__ == "__main__":`.

    Args:
        ground_truth: palette PNGs, or 0/255 PNGs.
        prediction: the same names and sizes.
        binary: as in `score_sequence`.
        workers: processes; None for as many as there are CPU cores, 1 for none but this one.
        progress: draw a bar on a terminal.
        sequences: names to score; None for all of the ground truth.
        skip_ends: as in `score_sequence`.

    Raises:
        MetricsError: folders, sequences or frames are missing, sizes differ, or files cannot be read. It lists all.
    """
    folders, problems, warnings = _find_sequences(Path(ground_truth), Path(prediction), sequences)
    workers = min(workers or os.cpu_count() or 1, max(1, len(folders)))
    scores: dict[str, dict[int, ObjectScore]] = {}
    jobs = [(name, truth, predicted, binary, skip_ends) for name, (truth, predicted) in folders.items()]
    finished = _run(jobs, workers)
    for name, scored, wrong, remarks in tqdm(
        finished, total=len(jobs), desc="scoring", unit="sequence", disable=None if progress else True
    ):
        scores[name] = scored
        problems += wrong
        warnings += remarks
    if problems:
        more = [f"... and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
        lines = "".join(f"\n  {line}" for line in [*sorted(problems)[:MAX_PROBLEMS], *more])
        raise MetricsError(f"nothing scored, {len(problems)} problem{'s' * (len(problems) > 1)}:{lines}")
    return FolderScores({name: scores[name] for name in folders}, tuple(sorted(warnings)))


def summarise(scores: Scores) -> Summary:
    """Average over all objects of all sequences."""
    objects = [score for sequence in scores.values() for score in sequence.values()]
    if not objects:
        raise MetricsError("there is no object to average over; score at least one sequence")
    J, F = (float(np.mean([getattr(score, mean) for score in objects])) for mean in ("J_mean", "F_mean"))
    return Summary(J, F, len(objects))


def format_table(scores: Scores) -> str:
    """Lay out sequence, object, J, F, J&F for a terminal, one line an object."""
    rows = [(name, str(i), *map("{:.4f}".format, figures)) for name, i, *figures in _rows(scores)]
    rows = [("sequence", "object", "J", "F", "J&F"), *rows]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"  {cell:>6}" for cell in row[1:]) for row in rows)


def write_csv(path: str | Path, scores: Scores) -> None:
    """Write the table with six digits and a last row `mean` over objects. Missing folders are made."""
    summary = summarise(scores)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sequence", "object", "J", "F", "J&F"])
        for name, i, *figures in [*_rows(scores), ("mean", "", summary.J, summary.F, summary.JF)]:
            writer.writerow([name, i, *map("{:.6f}".format, figures)])


def _rows(scores: Scores) -> list[tuple[str, int, float, float, float]]:
    return [(name, i, s.J_mean, s.F_mean, s.JF_mean) for name, objects in scores.items() for i, s in objects.items()]


def _object_masks(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Make both masks boolean and empty them where `void`; refuse different shapes."""
    truth, prediction = np.asarray(truth).astype(bool, copy=False), np.asarray(prediction).astype(bool, copy=False)
    shapes = {array.shape for array in (truth, prediction, void) if array is not None}
    if len(shapes) > 1 or truth.ndim != 2:
        raise MetricsError(f"masks must be (h, w) and of one shape, not {' and '.join(map(str, sorted(shapes)))}")
    if void is None:
        return truth, prediction
    counts = ~np.asarray(void, bool)
    return truth & counts, prediction & counts


def _boundary(mask: np.ndarray) -> np.ndarray:
    """Mark (h, w) pixels that differ from their right, lower or lower right neighbour.

    The last row has only its right neighbours, the last column only its lower ones, the corner none.
    """
    boundary = np.zeros_like(mask)
    inner = mask[:-1, :-1]
    boundary[:-1, :-1] = (inner ^ mask[:-1, 1:]) | (inner ^ mask[1:, :-1]) | (inner ^ mask[1:, 1:])
    boundary[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    boundary[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return boundary


def _near(
    points: tuple[np.ndarray, np.ndarray],
    boundary: np.ndarray,
    boundary_points: tuple[np.ndarray, np.ndarray],
    radius: int,
) -> np.ndarray:
    """Tell for each point (y, x) whether a disk around it holds a boundary pixel: (n,) bool.

    The same as dilating the boundary by the disk and looking the points up, but done at the points alone: for each
    row of the disk, the difference of two running counts along that row of the boundary.
    """
    (top, bottom), (left, right) = ((axis.min(), axis.max() + 1) for axis in boundary_points)
    counts = np.zeros(
        (bottom - top + 1, right - left + 1), np.int32
    )  # last row stays empty: rows outside are sent there
    np.cumsum(boundary[top:bottom, left:right], axis=1, out=counts[:-1, 1:])
    dy = np.arange(-radius, radius + 1)
    half = np.array([math.isqrt(radius**2 - d**2) for d in dy.tolist()])
    y = points[0][:, None] + dy - top
    y[(y < 0) | (y > bottom - top)] = bottom - top
    x = points[1][:, None] - left
    start, stop = np.clip(x - half, 0, right - left), np.clip(x + half + 1, 0, right - left)
    return (counts[y, stop] > counts[y, start]).any(1)


def _ids(mask: np.ndarray) -> list[int]:
    """List the ids above 0 in a mask, ascending."""
    countable = mask.dtype.kind in "iu" and mask.size and mask.min() >= 0 and mask.max() <= 65535
    ids = np.flatnonzero(np.bincount(mask.ravel())) if countable else np.unique(mask)  # counting is six times as fast
    return [int(i) for i in ids if i > 0]


def _find_sequences(
    ground_truth: Path, prediction: Path, names: Sequence[str] | None
) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Pair the folders of each sequence: {name: (truth, prediction)}, and say what is missing or left over."""
    for folder in (ground_truth, prediction):
        if not folder.is_dir():
            raise MetricsError(f"{folder}: not a folder; give one that holds SEQUENCE/FRAME.png")
    if any(path.suffix.lower() == ".png" for path in ground_truth.iterdir()):
        if names is not None:
            raise MetricsError(f"{ground_truth}: holds a single sequence; leave the choice of sequences out")
        return {ground_truth.resolve().name: (ground_truth, prediction)}, [], []
    true, predicted = (
        {path.name for path in folder.iterdir() if path.is_dir()} for folder in (ground_truth, prediction)
    )
    true = {name for name in true if not name.startswith(".")}
    wanted = sorted(true) if names is None else list(dict.fromkeys(names))
    if not wanted:
        raise MetricsError(f"{ground_truth}: no sequence to score; give a folder that holds SEQUENCE/FRAME.png")
    problems = [f"{ground_truth / name}: no such sequence in the ground truth" for name in wanted if name not in true]
    hint = "" if names else " (if it was not to be predicted, name those to score: sequences)"
    problems += [f"{prediction / name}: the sequence is missing{hint}" for name in wanted if name not in predicted]
    extra = sorted(predicted - true)
    warnings = [f"{prediction}: not in the ground truth and not scored: {', '.join(extra)}"] if extra else []
    both = [name for name in wanted if name in true and name in predicted]
    return {name: (ground_truth / name, prediction / name) for name in both}, problems, warnings


def _run(jobs: list[tuple], workers: int) -> Iterator[tuple]:
    """Yield `_score_folder` of each job as it is done."""
    if workers == 1:
        yield from map(_score_folder, jobs)
        return
    # spawn: a fork of a process that runs JAX or TensorFlow threads may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_score_folder, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise MetricsError("a worker process died, perhaps for lack of memory; use fewer workers") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _score_folder(job: tuple[str, Path, Path, bool, bool]) -> tuple[str, dict[int, ObjectScore], list[str], list[str]]:
    """Score one sequence from disk: its name, scores, problems and warnings. Goes on after a problem, to list all."""
    name, truth_folder, prediction_folder, binary, skip_ends = job
    problems, warnings, missing = [], [], []
    known: set[int] = set()
    seen: dict[int, str] = {}  # id -> the predicted frame where it is first seen
    try:
        frames = list_frames(truth_folder, (".png",))
        predicted = {path.stem: path for path in list_frames(prediction_folder, (".png",))}
    except FrameError as error:
        return name, {}, [str(error)], []

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for t, frame in enumerate(frames):
            truth = prediction = None
            try:
                truth = read_mask(frame)
                if frame.stem in predicted:
                    prediction = read_mask(predicted[frame.stem], size=truth.shape)
                elif not skip_ends or 0 < t < len(frames) - 1:
                    missing.append(frame.stem)
            except MaskError as error:
                problems.append(str(error))
            if truth is not None:
                known.update(_ids(truth))
                for i in () if prediction is None else _ids(prediction):
                    seen.setdefault(i, frame.name)
                yield truth, prediction

    truths, predictions = tee(pairs())
    scores = {}
    try:
        scores = score_sequence((t for t, _ in truths), (p for _, p in predictions), None, binary, skip_ends)
    except MetricsError as error:
        if not problems and not missing:
            problems.append(f"{truth_folder}: {error}")
    if missing:
        shown = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        problems.append(f"{prediction_folder}: no mask for {len(missing)} of {len(frames)} frames: {shown}")
    if not binary:
        late = sorted(known - scores.keys() - {VOID})
        if late:
            warnings.append(f"{truth_folder}: ids {late} are not in the first frame and not scored")
        strange = {i: seen[i] for i in sorted(seen.keys() - known)}
        if strange:
            first = min(strange.values())
            warnings.append(f"{prediction_folder}: ids {[*strange]}, from {first} on, are not in the ground truth")
    return name, scores, problems, warnings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.metrics",
        description="Score predicted masks as DAVIS does: J (region), F (boundary), without first and last frames.",
        epilog="example: python -m aot_jax.metrics --ground_truth DAVIS/Annotations/480p --prediction results "
        "--sequences DAVIS/ImageSets/2016/val.txt --binary --csv scores.csv",
    )
    folder = "folder of SEQUENCE/FRAME.png, or of the PNGs of one sequence"
    parser.add_argument("--ground_truth", type=Path, required=True, metavar="DIR", help=folder)
    parser.add_argument("--prediction", type=Path, required=True, metavar="DIR", help="the same for the results")
    parser.add_argument("--binary", action="store_true", help="merge all objects into one on both sides (DAVIS 2016)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each CPU core)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--sequences",
        nargs="+",
        metavar="NAME",
        help="score these only: names, or a text file of names (default: all of the ground truth)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 for input that cannot be scored."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    if flags.workers is not None and flags.workers < 1:
        parser.error(f"--workers {flags.workers}: give 1 or more")
    try:
        names = flags.sequences and [
            name
            for item in flags.sequences
            for name in (Path(item).read_text().split() if Path(item).is_file() else [item])
        ]
        found = score_folders(flags.ground_truth, flags.prediction, flags.binary, flags.workers, sequences=names)
        if flags.csv:
            write_csv(flags.csv, found.scores)
    except (MetricsError, OSError, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(format_table(found.scores))
    print(summarise(found.scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
