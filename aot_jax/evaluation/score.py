"""Score a set of videos: their masks read from folders, each video in one of several processes."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aot_jax.io.datasets import DataError, list_masks
from aot_jax.io.mask_sets import Masks, read_masks
from aot_jax.io.masks import MaskError
from aot_jax.metrics import MetricsError, ObjectScore, Scores, object_ids, score_frame
from aot_jax.typing import VOID

MAX_PROBLEMS = 20  # that one error message lists


@dataclass(frozen=True)
class SetScores:
    """Scores of a set of videos."""

    scores: Scores
    warnings: tuple[str, ...] = ()  # for a person; nothing that keeps the figures from being right
    frames: int = 0  # scored, over all videos


@dataclass(frozen=True)
class VideoPair:
    """One video to score: in which frames, and which objects."""

    name: str
    frames: tuple[str, ...]  # of the whole video, in order
    truth: Mapping[str, Path]  # masks by frame, in order; not empty
    prediction: Path  # folder
    sparse: bool  # frames that would be scored lack ground truth
    objects: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # the frames of each; empty: as truth tells
    joining: bool = False  # objects that join after the first mask count too
    binary: bool = False  # all objects are one
    hint: str = ""  # what may be wrong with the names of predictions

    @property
    def folder(self) -> Path:
        """The folder of the ground truth."""
        return next(iter(self.truth.values())).parent


@dataclass
class VideoScores:
    """Scores of one video, and what there is to say."""

    video: VideoPair
    scores: dict[int, ObjectScore] = field(default_factory=dict)
    frames: int = 0  # scored
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def score_videos(videos: Sequence[VideoPair], workers: int | None, progress: bool) -> Iterator[VideoScores]:
    """Yield the result of each video, in their order."""
    workers = min(workers or os.cpu_count() or 1, max(1, len(videos)))
    with tqdm(total=len(videos), desc="scoring", unit="video", disable=None if progress else True) as bar:
        if workers == 1:
            for video in videos:
                yield _score_video(video)
                bar.update()
            return
        # spawn: a fork of a process that runs JAX or TensorFlow threads may hang
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(_score_video, video) for video in videos]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BrokenProcessPool:
                raise MetricsError("a worker process died, perhaps for lack of memory; use fewer workers") from None
            finally:
                pool.shutdown(cancel_futures=True)
            yield from (future.result() for future in futures)


def _score_video(video: VideoPair) -> VideoScores:
    """Score one video from disk. Goes on after a problem, to list all."""
    result = VideoScores(video)
    figures: dict[int, list[list[float]]] = {}
    known: set[int] = set(video.objects)
    seen: dict[int, str] = {}  # id -> the predicted frame where it is first seen
    late: set[int] = set()
    missing: list[str] = []
    try:
        files = list_masks(video.prediction)
        truth = read_masks(video.truth, void=VOID, keep_going=True)
        found = read_masks({stem: files[stem] for stem in video.truth if stem in files}, like=truth, keep_going=True)
    except (DataError, MaskError) as error:
        result.problems.append(str(error))
        return result
    for stem in truth:
        try:
            true = truth[stem]
            present = set(object_ids(true)) - {VOID}
            if video.binary:
                present = {1}
            counting = _counting(video, stem, present, known)
            if counting and stem not in found:
                missing.append(stem)
            elif counting:
                labels = _read_like(found, stem, true.shape)
                for i, pair in zip(counting, score_frame(true, labels, counting, video.binary), strict=True):
                    figures.setdefault(i, []).append(pair)
                result.frames += 1
                for i in object_ids(labels):
                    seen.setdefault(i, f"{stem}.png")
        except MaskError as error:
            result.problems.append(str(error))
            continue
        if video.joining or not known:
            known |= present
        late |= present - known
    for i in sorted(figures):
        J, F = np.array(figures[i], float).T
        result.scores[i] = ObjectScore(J, F, skip_ends=False)
    if missing:
        shown = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        result.problems.append(
            f"{video.prediction}: no mask for {len(missing)} of {len(video.truth)} frames: {shown}"
            + (f" ({video.hint})" if video.hint else "")
        )
    result.warnings += [*truth.notes, *found.notes]
    if late and not video.objects:
        result.warnings.append(f"{video.folder}: ids {sorted(late)} are not in the first frame and not scored")
    if unscored := sorted(video.objects.keys() - figures.keys()):
        result.warnings.append(f"{video.folder}: not scored, for they have one frame only: objects {unscored}")
    strange = {} if video.binary else {i: seen[i] for i in sorted(seen.keys() - known - late)}
    if strange:
        first = min(strange.values())
        result.warnings.append(f"{video.prediction}: ids {[*strange]}, from {first} on, are not in the ground truth")
    return result


def _counting(video: VideoPair, stem: str, present: set[int], known: set[int]) -> list[int]:
    """List the objects that are scored in a frame with ground truth.

    Args:
        video: the video.
        stem: the frame.
        present: objects in its ground truth.
        known: objects that the masks before have brought.
    """
    if video.objects:
        return sorted(i for i, frames in video.objects.items() if stem in frames)
    if stem == video.frames[-1]:  # as DAVIS does
        return []
    if video.sparse and present - known and not present & known:
        return []  # a mask that was drawn to bring objects, without the others
    return sorted(known)


def _read_like(found: Masks, stem: str, size: tuple[int, ...]) -> np.ndarray:
    labels = found[stem]
    if labels.shape != size:
        raise MaskError(
            f"{found.file_of(stem)}: the mask is {labels.shape[1]}x{labels.shape[0]}, but {size[1]}x{size[0]} (width x "
            "height) is needed; resize it with nearest neighbour or give the mask that belongs to this image"
        )
    return labels


def join_scores(results: list[VideoScores], problems: list[str], warnings: list[str]) -> SetScores:
    """Put the results of all videos together.

    Raises:
        MetricsError: there are problems; lists them.
    """
    problems = sorted([*problems, *(problem for result in results for problem in result.problems)])
    if problems:
        more = [f"... and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
        lines = "".join(f"\n  {line}" for line in [*problems[:MAX_PROBLEMS], *more])
        raise MetricsError(f"nothing scored, {len(problems)} problem{'s' * (len(problems) > 1)}:{lines}")
    warnings = [*warnings, *sorted(warning for result in results for warning in result.warnings)]
    if sparse := [result for result in results if result.video.sparse]:
        count, of = (sum(counts) for counts in zip(*((r.frames, len(r.video.frames)) for r in sparse), strict=True))
        names = ", ".join(result.video.name for result in sparse)
        warnings.append(f"ground truth in some frames only, {count} of {of} frames are scored: {names}")
    scores = {result.video.name: result.scores for result in results if result.scores}
    return SetScores(scores, tuple(warnings), sum(result.frames for result in results))
