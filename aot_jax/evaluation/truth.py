"""Score a split's masks, as far as there is ground truth."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aot_jax.evaluation import splits
from aot_jax.evaluation.scoring import FolderScores, run_jobs, score_folders
from aot_jax.io.masks import MaskError, read_mask
from aot_jax.metrics import MetricsError, ObjectScore, boundary_measure, object_ids, region_similarity
from aot_jax.typing import VOID

Lists = Mapping[int, tuple[str, ...]]  # the frames of each object; the first is given, the others are scored


def score_split(split: splits.Split, output: Path, workers: int | None = None, progress: bool = True) -> FolderScores:
    """Score what `run_split` wrote. Videos without ground truth in every frame that counts are left out.

    DAVIS is scored as by its toolkit. With `split.scoring` "objects", every object is scored from the frame after the
    one that brings its mask: in its own list of frames (YouTube-VOS), or up to the last but one of the video (folder).

    Args:
        split: what was run over.
        output: folder of the run.
        workers: processes; None for as many as there are CPU cores, 1 for none but this one.
        progress: draw a bar on a terminal.

    Returns:
        scores, empty if there is no ground truth at all, and what was left out.

    Raises:
        MetricsError: masks are missing, sizes differ, or files cannot be read. It lists all.
    """
    scored, without, partly, short = [], [], [], []
    for sequence in split.sequences:
        stems = _scored_stems(split, sequence)
        there = {path.stem for path in (split.annotations / sequence.name).glob("*.png")}
        if not stems:
            short.append(sequence.name)
        elif there >= stems:
            scored.append(sequence)
        else:
            without.append(sequence.name)
            if there & stems - _given_stems(sequence):
                partly.append(sequence.name)
    warnings = []
    if left_out := without if scored else partly:
        listed = ", ".join(left_out)
        warnings.append(f"{split.annotations}: not scored, for not every frame has its ground truth: {listed}")
    if scored and short:
        warnings.append(f"not scored, for no frame is left after the given ones: {', '.join(short)}")
    if not scored:
        return FolderScores({}, tuple(warnings))
    masks = output / split.folder
    if split.scoring == "davis":
        names = [sequence.name for sequence in scored]
        found = score_folders(split.annotations, masks, split.binary, workers, progress, sequences=names)
        return FolderScores(found.scores, (*warnings, *found.warnings))
    jobs = [
        (
            sequence.name,
            sequence.stems,
            split.annotations / sequence.name,
            masks / sequence.name,
            {i: thing.frames for i, thing in sequence.objects.items()} or None,
        )
        for sequence in scored
    ]
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    scores, problems = {}, []
    finished = run_jobs(_score_video, jobs, workers)
    for name, scores_of, remarks, wrong in tqdm(
        finished, total=len(jobs), desc="scoring", unit="video", disable=None if progress else True
    ):
        scores[name] = scores_of
        warnings += remarks
        problems += wrong
    if problems:
        raise MetricsError("nothing scored:\n  " + "\n  ".join(sorted(problems)[:20]))
    return FolderScores({s.name: scores[s.name] for s in scored if scores[s.name]}, tuple(warnings))


def score_objects(
    stems: tuple[str, ...], truth: Path, prediction: Path, lists: Lists | None = None
) -> dict[int, ObjectScore]:
    """Score each object of one video in the frames after the one that brings it.

    Args:
        stems: of the frames that count, in order.
        truth: folder of FRAME.png; 255 is void.
        prediction: the same for the results.
        lists: the frames of each object. None: from the one where the ground truth first holds it up to the last, which
            is left out, as DAVIS does.

    Returns:
        {id: score}, without objects that have no frame to score.

    Raises:
        MaskError: a mask is missing, cannot be read or has another size.
    """
    J: dict[int, list[float]] = {}
    F: dict[int, list[float]] = {}
    known: set[int] = set()
    for t, stem in enumerate(stems):
        if lists is None:
            counting = sorted(known) if t < len(stems) - 1 else []
        else:
            counting = sorted(i for i, frames in lists.items() if stem in frames[1:])
        if not counting and lists is not None:
            continue
        true = read_mask(truth / f"{stem}.png")
        known.update(i for i in object_ids(true) if i != VOID)
        if not counting:
            continue
        found = read_mask(prediction / f"{stem}.png", size=true.shape)
        void = true == VOID if (true == VOID).any() else None
        for i in counting:
            pair = (true == i, found == i)
            J.setdefault(i, []).append(region_similarity(*pair, void))
            F.setdefault(i, []).append(boundary_measure(*pair, void))
    return {i: ObjectScore(np.array(J[i]), np.array(F[i]), skip_ends=False) for i in sorted(J)}


def _score_video(
    job: tuple[str, tuple[str, ...], Path, Path, Lists | None],
) -> tuple[str, dict[int, ObjectScore], list[str], list[str]]:
    """Score one video from disk: its name, scores, warnings and problems."""
    name, stems, truth, prediction, lists = job
    try:
        scores = score_objects(stems, truth, prediction, lists)
    except MaskError as error:
        return name, {}, [], [str(error)]
    left_out = sorted((lists or {}).keys() - scores.keys())
    remarks = [f"{truth}: not scored, for they have one frame only: objects {left_out}"] if left_out else []
    return name, scores, remarks, []


def _scored_stems(split: splits.Split, sequence: splits.Sequence) -> set[str]:
    """Return the frames whose ground truth is needed."""
    if sequence.objects:
        return {stem for thing in sequence.objects.values() for stem in thing.frames[1:]}
    if split.scoring == "objects":  # objects may come in any frame
        return set(sequence.stems) if len(sequence.stems) > 2 else set()
    return set(sequence.stems[1:-1])


def _given_stems(sequence: splits.Sequence) -> set[str]:
    """Return the frames whose masks may be there without being ground truth."""
    if sequence.objects:
        return {thing.frames[0] for thing in sequence.objects.values()}
    return set(sequence.masks)
