"""Pair predicted masks with ground truth, for a split or two folders, and score them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from aot_jax.evaluation.score import SetScores, VideoPair, join_scores, score_videos
from aot_jax.evaluation.splits import Split
from aot_jax.io.datasets import DataError, list_folders, list_masks, numbering_hint
from aot_jax.io.frames import order_frames
from aot_jax.metrics import MetricsError


def score_split(split: Split, output: Path, workers: int | None = None) -> SetScores:
    """Score the masks of a split in the videos that have ground truth.

    DAVIS is scored as by its toolkit. With `split.scoring` "objects", an object is scored in the frames after its given
    mask: those listed for it (YouTube-VOS), or all but the last of the video (folder). With "ranges" (LVOS), the frame
    of the given mask is scored too, as in the official toolkit. If only some frames have ground truth, only those are
    scored.

    Args:
        split: evaluated split.
        output: results folder of the run.
        workers: number of processes; None: one per CPU core; 1: this process only.

    Returns:
        The scores, empty if there is no ground truth, with warnings about what was left out.

    Raises:
        MetricsError: masks are missing, sizes differ, or files cannot be read; lists all problems.
    """
    videos, without, short = [], [], []
    for sequence in split.sequences:
        name, stems, known = sequence.name, sequence.stems, {frame.stem for frame in sequence.frames}
        truth = {stem: path for stem, path in list_masks(split.annotations / name).items() if stem in known}
        lists = {i: thing.frames[split.scoring != "ranges" :] for i, thing in sequence.objects.items()}
        to_score = {stem for frames in lists.values() for stem in frames} or set(stems[1:-1])
        if lists:
            sparse = not to_score <= truth.keys()
            given = {thing.frames[0] for thing in sequence.objects.values()} if sparse else set()
            unscored = frozenset(truth.keys() - (to_score - given))
        else:
            sparse, unscored = bool(truth) and _is_sparse(stems, truth), frozenset()
        if not to_score:
            short.append(name)
        elif truth.keys() <= unscored:
            without.append(name)
        else:
            folder, joining = output / split.folder / name, split.scoring != "davis"
            videos.append(VideoPair(name, stems, truth, folder, sparse, lists, joining, split.binary, "", unscored))
    results = list(score_videos(videos, workers))
    scored = [result for result in results if result.scores or result.problems]
    without += [result.video.name for result in results if result not in scored]
    warnings = []
    if scored and without:
        listed = ", ".join(without)
        warnings.append(f"{split.annotations}: not scored: there is no ground truth except the given masks: {listed}")
    if scored and short:
        warnings.append(f"not scored: there is no frame after the given masks: {', '.join(short)}")
    return join_scores(scored, [], warnings)


def score_folders(
    ground_truth: str | Path,
    prediction: str | Path,
    binary: bool = False,
    workers: int | None = None,
    sequences: Sequence[str] | None = None,
) -> SetScores:
    """Score folders of masks `VIDEO/FRAME.png`, or the PNGs of a single video, as DAVIS does.

    The first and the last frame of each video are not scored and need no prediction. If only some frames in between
    have ground truth, only those are scored, and objects that appear later are scored from the next frame on.

    Processes are spawned: a script that calls this needs `if __name__ == "__main__":`.

    Args:
        ground_truth: folder of masks of ids with 255 as void, or of black-and-white masks.
        prediction: folder of masks with the same names and sizes.
        binary: as in `metrics.score_frame`.
        workers: number of processes; None: one per CPU core; 1: this process only.
        sequences: names of videos to score; None: all of the ground truth.

    Raises:
        MetricsError: folders, videos or frames are missing, sizes differ, or files cannot be read; lists all problems.
    """
    folders, problems, warnings = _pair_folders(Path(ground_truth), Path(prediction), sequences)
    videos = []
    for name, (true, found) in folders.items():
        try:
            truth, predicted = list_masks(true), list_masks(found)
        except DataError as error:
            problems.append(str(error))
            continue
        if not truth:
            problems.append(f"{true}: no mask in it; give the folder that holds the masks")
            continue
        more = predicted if truth.keys() & predicted.keys() else {}
        frames = tuple(path.stem for path in order_frames({Path(f"{stem}.png") for stem in (*truth, *more)}))
        sparse = _is_sparse(frames, truth)
        hint = numbering_hint(list(truth), list(predicted), more=sparse)
        videos.append(VideoPair(name, frames, truth, found, sparse, joining=sparse, binary=binary, hint=hint))
        warnings += [f"{found}: {hint}"] if hint else []
    results = list(score_videos(videos, workers))
    for result in results:
        if not result.scores and not result.problems:
            result.problems.append(f"{result.video.folder}: {_why_none(result.video)}")
    return join_scores(results, problems, warnings)


def _is_sparse(frames: Sequence[str], truth: Mapping[str, Path]) -> bool:
    """Tell whether a frame between the first with ground truth and the last of the video lacks it."""
    first = frames.index(next(iter(truth)))
    return not set(frames[first + 1 : -1]) <= truth.keys()


def _pair_folders(
    ground_truth: Path, prediction: Path, names: Sequence[str] | None
) -> tuple[dict[str, tuple[Path, Path]], list[str], list[str]]:
    """Return {video: (ground truth, prediction)} folders, problems (missing videos) and warnings (extra ones)."""
    for folder in (ground_truth, prediction):
        if not folder.is_dir():
            raise MetricsError(f"{folder}: not a folder; give one that holds SEQUENCE/FRAME.png")
    if list_masks(ground_truth):
        if names is not None:
            raise MetricsError(f"{ground_truth}: holds a single sequence; leave --sequences out")
        return {ground_truth.resolve().name: (ground_truth, prediction)}, [], []
    true, predicted = list_folders(ground_truth), list_folders(prediction)
    wanted = true if names is None else list(dict.fromkeys(names))
    if not wanted:
        raise MetricsError(f"{ground_truth}: no sequence to score; give a folder that holds SEQUENCE/FRAME.png")
    problems = [f"{ground_truth / name}: no such sequence in the ground truth" for name in wanted if name not in true]
    hint = "" if names else " (if it was not to be predicted, name those to score with --sequences)"
    problems += [f"{prediction / name}: the sequence is missing{hint}" for name in wanted if name not in predicted]
    extra = [name for name in predicted if name not in true]
    warnings = [f"{prediction}: not in the ground truth and not scored: {', '.join(extra)}"] if extra else []
    both = [name for name in wanted if name in true and name in predicted]
    return {name: (ground_truth / name, prediction / name) for name in both}, problems, warnings


def _why_none(video: VideoPair) -> str:
    """Return the reason why nothing of a video was scored."""
    if len(video.frames) <= 2:
        count = len(video.frames)
        return f"{count} frames: none is left to score, since the first and the last are skipped; give three or more"
    return "the first ground-truth frame holds no object; score a sequence whose first frame has one"
