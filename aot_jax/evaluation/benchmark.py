"""Run a whole evaluation: segment the unfinished videos of a split, score them, write results and archive."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
from ml_collections import ConfigDict

from aot_jax.errors import ReportedError
from aot_jax.evaluation.ground_truth import score_split
from aot_jax.evaluation.report import Timings, format_scores, format_speed, write_archive, write_results
from aot_jax.evaluation.run import FinishedVideos, copy_to_devices, run_split, share_videos
from aot_jax.evaluation.score import SetScores
from aot_jax.evaluation.splits import Split, load_split
from aot_jax.metrics import summarise
from aot_jax.network import NetworkChoice, find_network
from aot_jax.runs import DISK_FULL, Run, RunError, keep_inputs
from aot_jax.settings import fields_for
from aot_jax.start.hosts import any_host
from aot_jax.tracker.batch import FrameTracker
from aot_jax.tracker.tracker import Tracker

T = TypeVar("T")


class HostError(ReportedError):
    """Another host has stopped with an error and reports it itself."""


class Stopped(RuntimeError):
    """The run was interrupted; the message says how to resume it."""


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation."""

    split: str
    data: str | None = None  # folder of data sets, see `load_split`
    output: Path | None = None  # results folder; None: results/SPLIT/CONFIG...
    overwrite: bool = False  # start again in a folder with other results
    all_frames: bool = False  # use all frames of YouTube-VOS, at 30 a second
    resolution: str = "480p"  # resolution of DAVIS
    depth: int | None = None  # number of LSTT layers; None: all
    scales: tuple[float, ...] = (1.0,)  # input scales, averaged over
    flip: bool = False  # average over mirrored frames too
    devices: int | None = None  # most devices of this host to use; None: all
    videos_at_once: int = 1  # number of videos tracked at once on each device

    @property
    def tracking(self) -> dict[str, Any]:
        """Keyword arguments of `Tracker`."""
        output_height = None if self.resolution == "480p" else 480
        return {"scales": self.scales, "flip": self.flip, "output_height": output_height}


@dataclass(frozen=True)
class Outcome:
    """The results of an evaluation."""

    split: Split
    output: Path
    found: SetScores  # empty without ground truth
    timings: Timings
    archive: Path | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the videos and their scores, each once: a given mask may also be read as ground truth."""
        tracked = (warning for timing in self.timings.values() for warning in timing.warnings)
        return tuple(dict.fromkeys((*tracked, *self.found.warnings)))


def evaluate(options: EvaluationOptions, choice: NetworkChoice) -> Outcome | None:
    """Evaluate a network on a split.

    Args:
        options: options of the evaluation.
        choice: the network.

    Returns:
        The results; None on hosts other than 0.

    Raises:
        Stopped: the run was interrupted.
        ReportedError, OSError: input cannot be used, or a file cannot be read or written.
    """
    split = load_split(options.split, options.data, options.resolution, options.all_frames)
    network = find_network(choice)
    if jax.process_index() == 0:
        print(network, flush=True)
    model = network.load()
    depth = Tracker(model, options.depth, **options.tracking).depth
    output = options.output or Path("results") / options.split / run_name(network.config, options, depth)

    def make_trackers(videos: int) -> list[list[Tracker]]:
        models = copy_to_devices(model, videos, options.devices)
        at_once = min(options.videos_at_once, math.ceil(videos / len(models)))
        return [[Tracker(copy, depth, **options.tracking) for _ in range(at_once)] for copy in models]

    settings = describe(network.config, network.checkpoint, options, depth)
    return run_and_score(make_trackers, split, output, settings, options.overwrite)


def run_and_score(
    make_trackers: Callable[[int], Sequence[Sequence[FrameTracker]]],
    split: Split,
    output: Path,
    settings: Mapping[str, object],
    overwrite: bool = False,
) -> Outcome | None:
    """Segment the unfinished videos of this host's share of a split; host 0 then scores and packs the whole split.

    Args:
        make_trackers: returns the trackers of each device, for a number of videos.
        split: split to evaluate.
        output: results folder, shared by all hosts.
        settings: settings of the run; a folder with masks of other settings is refused.
        overwrite: start again in such a folder.

    Returns:
        The results; None on hosts other than 0.

    Raises:
        RunError: the folder holds another run, is in use, or cannot be written.
        HostError: another host has failed.
        Stopped: the run was interrupted.
        FrameError, MaskError, TrackError, MetricsError: as `run_split` and `score_split`.
    """
    finished = FinishedVideos(output, output / split.folder)
    for sequence in split.sequences:
        keep_inputs(output / split.folder, (*sequence.frames, *sequence.annotated.values()), ("*/*",))
    run = Run(
        output,
        settings,
        resume=True,
        overwrite=overwrite,
        record=".run/settings.json",
        results=(FinishedVideos.PATTERN,),
    )
    host, hosts = jax.process_index(), jax.process_count()

    def track() -> None:
        share = share_videos(split.sequences, host, hosts)
        left = [sequence for sequence in share if finished.get(sequence) is None]
        if left:
            run_split(make_trackers(len(left)), split, output, finished, share, progress=host == 0)

    def score() -> Outcome | None:
        if host:
            return None
        timings = finished.wait_for(split.sequences)
        archive = write_archive(split, output) if split.archive else None
        found = score_split(split, output)
        write_results(output, split, found.scores, found.frames, timings, settings)
        return Outcome(split, output, found, timings, archive)

    with _explained(output, overwrite), contextlib.ExitStack() as stack:
        _together(lambda: stack.enter_context(run) if host == 0 else None)
        _together(track)
        return _together(score)


def run_name(config: ConfigDict, options: EvaluationOptions, depth: int) -> str:
    """Return the folder name of a run: its config, depth and other options that are likely to be compared."""
    parts = [config.name, f"depth{depth}" if config.model.scalable else ""]
    parts += ["all_frames" if options.all_frames else "", "full" if options.resolution != "480p" else ""]
    parts += ["multi_scale" if len(options.scales) > 1 else "", "flip" if options.flip else ""]
    return "_".join(filter(None, parts))


def describe(config: ConfigDict, checkpoint: Path | None, options: EvaluationOptions, depth: int) -> dict[str, object]:
    """Return the settings that determine a run's masks: network, weights and options."""
    settings: dict[str, object] = {"config": config.name, "checkpoint": "random weights"}
    chosen = asdict(options)
    settings |= {name: chosen[name] for name in ("split", "all_frames", "resolution")} | {"depth": depth}
    settings |= options.tracking
    if checkpoint is not None:
        settings["checkpoint"] = str(checkpoint.resolve())
        file = checkpoint / "model.json" if checkpoint.is_dir() else checkpoint
        if file.is_file():
            settings["checkpoint_written"] = int(file.stat().st_mtime)
    return settings | fields_for(config, "masks")


def format_outcome(outcome: Outcome) -> str:
    """Format the results of an evaluation for a terminal; the last line holds the scores to quote."""
    split, found = outcome.split, outcome.found
    if found.scores:
        lines = [format_scores(split, found.scores, outcome.timings), f"scored frames: {found.frames}"]
    else:
        lines = [f"not scored: {split.annotations} holds no ground truth but the given masks"]
    lines.append(f"masks and scores: {outcome.output}")
    if outcome.archive:
        lines.append(f"for {split.server}: {outcome.archive}")
    speed = format_speed(outcome.timings)
    lines.append(f"{summarise(found.scores)}  {speed}" if found.scores else speed)
    return "\n".join(lines)


def _together(work: Callable[[], T]) -> T:
    """Run a step on every host and wait for all; if one fails, all stop.

    Raises:
        HostError: another host has failed.
    """
    try:
        result = work()
    except Exception:
        any_host(True)
        raise
    if any_host(False):
        raise HostError("another host has stopped with an error, see its own output; the same command continues")
    return result


@contextlib.contextmanager
def _explained(output: Path, overwrite: bool) -> Iterator[None]:
    """Turn an interrupt or OSError into an error whose message states the remedy."""
    goes_on = f"the same command{', without --overwrite,' if overwrite else ''} continues after"
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(f"stopped; {goes_on} the videos finished in {output}") from None
    except OSError as error:
        remedy = "give a folder that you may write to with --output"
        if error.errno in DISK_FULL:
            remedy = "free some, or move the folder and name its new place with --output"
        what = f"{error.filename or output}: {error.strerror or error}: {remedy}"
        raise RunError(f"{what}. Finished videos are kept, and {goes_on} them") from error
