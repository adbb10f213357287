"""Score folders of masks in parallel processes, lay the figures out, write them down."""

import argparse
import csv
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aot_jax.io.files import atomic_write
from aot_jax.io.frames import FrameError, list_frames
from aot_jax.io.masks import MaskError, read_mask
from aot_jax.metrics import MetricsError, ObjectScore, Scores, object_ids, score_sequence, summarise
from aot_jax.typing import VOID

MAX_PROBLEMS = 20  # that one error message lists


@dataclass(frozen=True)
class FolderScores:
    """What `score_folders` found."""

    scores: Scores
    warnings: tuple[str, ...]  # for a person; nothing that keeps the figures from being right


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
    finished = run_jobs(_score_folder, jobs, workers)
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


def format_table(scores: Scores) -> str:
    """Lay out sequence, object, J, F, J&F for a terminal, one line an object."""
    rows = [(name, str(i), *map("{:.4f}".format, figures)) for name, i, *figures in _rows(scores)]
    rows = [("sequence", "object", "J", "F", "J&F"), *rows]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"  {cell:>6}" for cell in row[1:]) for row in rows)


def write_csv(path: str | Path, scores: Scores) -> None:
    """Write the table with six digits and a last row `mean` over objects. Missing folders are made."""
    summary = summarise(scores)
    with atomic_write(Path(path)) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sequence", "object", "J", "F", "J&F"])
        for name, i, *figures in [*_rows(scores), ("mean", "", summary.J, summary.F, summary.JF)]:
            writer.writerow([name, i, *map("{:.6f}".format, figures)])


def _rows(scores: Scores) -> list[tuple[str, int, float, float, float]]:
    return [(name, i, s.J_mean, s.F_mean, s.JF_mean) for name, objects in scores.items() for i, s in objects.items()]


def _find_sequences(
    ground_truth: Path, prediction: Path, names: Sequence[str] | None
) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Pair the folders of each sequence: {name: (truth, prediction)}, and say what is missing or left over."""
    for folder in (ground_truth, prediction):
        if not folder.is_dir():
            raise MetricsError(f"{folder}: not a folder; give one that holds SEQUENCE/FRAME.png")
    if any(path.suffix.lower() == ".png" for path in ground_truth.iterdir()):
        if names is not None:
            raise MetricsError(f"{ground_truth}: holds a single sequence; leave --sequences out")
        return {ground_truth.resolve().name: (ground_truth, prediction)}, [], []
    true, predicted = (
        {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
        for folder in (ground_truth, prediction)
    )
    wanted = sorted(true) if names is None else list(dict.fromkeys(names))
    if not wanted:
        raise MetricsError(f"{ground_truth}: no sequence to score; give a folder that holds SEQUENCE/FRAME.png")
    problems = [f"{ground_truth / name}: no such sequence in the ground truth" for name in wanted if name not in true]
    hint = "" if names else " (if it was not to be predicted, name those to score with --sequences)"
    problems += [f"{prediction / name}: the sequence is missing{hint}" for name in wanted if name not in predicted]
    extra = sorted(predicted - true)
    warnings = [f"{prediction}: not in the ground truth and not scored: {', '.join(extra)}"] if extra else []
    both = [name for name in wanted if name in true and name in predicted]
    return {name: (ground_truth / name, prediction / name) for name in both}, problems, warnings


def run_jobs(work: Callable[[tuple], tuple], jobs: list[tuple], workers: int) -> Iterator[tuple]:
    """Yield `work` of each job as it is done. `work` is a function of a module: other processes call it."""
    if workers == 1:
        yield from map(work, jobs)
        return
    # spawn: a fork of a process that runs JAX or TensorFlow threads may hang
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(work, job) for job in jobs]
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
                known.update(object_ids(truth))
                for i in () if prediction is None else object_ids(prediction):
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


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
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
    parser = make_parser()
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
