"""Score the masks of videos, each video in one of several processes."""

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from aot_jax.io.datasets import DataError, list_masks
from aot_jax.io.frames import what_is_in
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.mask_sets.stored import check_size
from aot_jax.io.masks import MaskError, object_ids
from aot_jax.metrics import MetricsError, ObjectScore, Scores, score_frame
from aot_jax.start.cores import available_cores
from aot_jax.typing import VOID

MAX_PROBLEMS = 20  # most problems listed in an error message


@dataclass(frozen=True)
class SetScores:
    """Scores of a set of videos."""

    scores: Scores
    warnings: tuple[str, ...] = ()  # remarks that do not invalidate the scores
    frames: int = 0  # number of scored frames in all videos


@dataclass(frozen=True)
class VideoPair:
    """Ground truth and prediction of one video, with the frames and objects to score."""

    name: str
    frames: tuple[str, ...]  # names of all frames, in order
    truth: Mapping[str, Path]  # ground truth by frame, in order; not empty
    prediction: Path  # folder of predicted masks
    sparse: bool  # only some frames have ground truth
    objects: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # scored frames by id; empty: from `truth`
    joining: bool = False  # score objects that appear after the first mask too
    binary: bool = False  # merge all objects into one
    hint: str = ""  # likely problem with the names of predictions
    unscored: frozenset[str] = frozenset()  # frames of `truth` that only help to tell what the values of masks mean

    @property
    def folder(self) -> Path:
        """The folder of the ground truth."""
        return next(iter(self.truth.values())).parent


@dataclass
class VideoScores:
    """Scores of one video, with problems and warnings."""

    video: VideoPair
    scores: dict[int, ObjectScore] = field(default_factory=dict)
    frames: int = 0  # number of scored frames
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def score_videos(videos: Sequence[VideoPair], workers: int | None) -> Iterator[VideoScores]:
    """Yield the scores of each video, in order.

    Args:
        videos: videos to score.
        workers: number of processes; None: one per CPU core; 1: this process only.

    Raises:
        MetricsError: a worker process died.
    """
    workers = min(workers or available_cores(), max(1, len(videos)))
    with tqdm(total=len(videos), desc="scoring", unit="video", disable=None) as bar:
        if workers == 1:
            for video in videos:
                yield _score_video(video)
                bar.update()
            return
        # spawn: forking a process with JAX or TensorFlow threads may hang
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
    """Score one video; collect problems instead of stopping at the first."""
    result = VideoScores(video)
    figures: dict[int, list[list[float]]] = {}
    known: set[int] = set(video.objects)
    seen: dict[int, str] = {}  # id -> first predicted mask that contains it
    late: set[int] = set()
    missing: list[str] = []
    try:
        files = list_masks(video.prediction)
        truth = read_masks(video.truth, void=VOID, keep_going=True)
        found = read_masks({stem: files[stem] for stem in video.truth if stem in files}, like=truth, keep_going=True)
    except (DataError, MaskError) as error:
        result.problems.append(str(error))
        return result
    for stem in (stem for stem in truth if stem not in video.unscored):
        try:
            true = truth[stem]
            present = set(object_ids(true)) - {VOID}
            if video.binary:
                present = {1}
            ids = _ids_to_score(video, stem, present, known)
            if ids and stem not in found:
                missing.append(stem)
            elif ids:
                labels = found[stem]
                check_size(labels.shape, true.shape, found.file_of(stem))
                for i, pair in zip(ids, score_frame(true, labels, ids, video.binary), strict=True):
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
        result.scores[i] = ObjectScore(*np.array(figures[i]).T)
    if missing:
        count = len(video.truth) - len(video.unscored)
        shown = ", ".join(missing[:5]) + ", ..." * (len(missing) > 5)
        hint = f" ({video.hint})" if video.hint else ""
        if not files and video.prediction.is_dir():
            hint = what_is_in(video.prediction)
        result.problems.append(f"{video.prediction}: no mask for {len(missing)} of {count} frames: {shown}{hint}")
    result.warnings += [*truth.notes, *found.notes]
    if late and not video.objects:
        result.warnings.append(f"{video.folder}: ids {sorted(late)} are not in the first frame and not scored")
    if unscored := sorted(video.objects.keys() - figures.keys()):
        result.warnings.append(f"{video.folder}: not scored, for they have one frame only: objects {unscored}")
    strange = {} if video.binary else {i: seen[i] for i in sorted(seen.keys() - known - late)}
    if strange:
        first = min(strange.values())
        warning = f"{video.prediction}: ids {[*strange]}, from {first} on, are not in the ground truth"
        if not seen.keys() & known:
            warning += ", and none of its own is predicted: give predictions the same ids or colours"
        result.warnings.append(warning)
    elif not video.binary and (lost := sorted(figures.keys() - seen.keys())):
        result.warnings.append(f"{video.prediction}: ids {lost} of the ground truth are in none of the predictions")
    return result


def _ids_to_score(video: VideoPair, stem: str, present: set[int], known: set[int]) -> list[int]:
    """Return the ids of the objects to score in a frame with ground truth.

    Args:
        video: the video.
        stem: name of the frame.
        present: ids in its ground truth.
        known: ids in earlier masks.
    """
    if video.objects:
        return sorted(i for i, frames in video.objects.items() if stem in frames)
    if stem == video.frames[-1]:  # not scored, as in DAVIS
        return []
    if video.sparse and present - known and not present & known:
        return []  # a mask drawn only to add objects
    return sorted(known)


def join_scores(results: list[VideoScores], problems: list[str], warnings: list[str]) -> SetScores:
    """Combine the scores of all videos.

    Raises:
        MetricsError: there are problems; the message lists them.
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
