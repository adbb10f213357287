"""The whole of an evaluation: run what is left, score, pack, write the figures down."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from aot_jax.config import fields
from aot_jax.evaluation.journal import Journal, JournalError
from aot_jax.evaluation.results import Timings, format_results, format_speed, write_results
from aot_jax.evaluation.run import run_split
from aot_jax.evaluation.segment import StepTracker
from aot_jax.evaluation.splits import Split
from aot_jax.evaluation.spread import any_failed, share
from aot_jax.evaluation.submission import write_archive
from aot_jax.evaluation.truth import score_split
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError
from aot_jax.metrics import MetricsError, Scores, summarise
from aot_jax.tracker.tracker import TrackError


class HostError(RuntimeError):
    """Another host has stopped with an error, which it tells itself."""


# What finding a split and `evaluate` raise for input that cannot be used, besides OSError.
ERRORS = (DataError, JournalError, HostError, FrameError, MaskError, TrackError, MetricsError)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation came to."""

    output: Path
    scores: Scores  # empty without ground truth
    timings: Timings
    archive: Path | None
    warnings: tuple[str, ...]


def scale(text: str) -> float:
    """Read a scale of test-time augmentation from the command line."""
    if not 0 < float(text) < 10:
        raise argparse.ArgumentTypeError(f"{text} is no scale; give a number such as 1.3")
    return float(text)


def run_name(config: ConfigDict, options: Mapping[str, Any]) -> str:
    """Name a run's folder by its config and by the options that it is likely to be compared under."""
    parts = [config.name, f"depth{options['depth']}" if config.model.scalable else ""]
    parts += ["all_frames" if options["all_frames"] else "", "full" if options["output_height"] else ""]
    parts += ["multi_scale" if len(options["scales"]) > 1 else "", "flip" if options["flip"] else ""]
    return "_".join(filter(None, parts))


def describe(config: ConfigDict, checkpoint: Path | None, options: Mapping[str, object]) -> dict[str, object]:
    """Say all that changes a run's masks: the network, its weights and the options."""
    about = {"config": config.name, "checkpoint": "random weights", **options}
    if checkpoint is not None:
        about |= {"checkpoint": str(checkpoint.resolve())}
        if (file := checkpoint / "model.json").is_file():
            about |= {"checkpoint_written": int(file.stat().st_mtime)}
    chosen = {"seed": config.seed, **fields(config)}
    parts = ("model", "memory", "inference", "seed")
    return about | {name: value for name, value in chosen.items() if name.split(".")[0] in parts}


def evaluate(
    make_trackers: Callable[[int], Sequence[StepTracker]],
    split: Split,
    output: Path,
    about: Mapping[str, object],
    overwrite: bool = False,
) -> Outcome | None:
    """Run over this host's share of a split, from where a killed run was; host 0 then scores and packs all of it.

    Args:
        make_trackers: makes one a device for this many videos.
        split: what to run over.
        output: folder for masks and figures; one that all hosts see.
        about: what `describe` says of the run; a folder with masks of another one is refused.
        overwrite: begin again in such a folder.

    Returns:
        what it came to; None on other hosts than 0.

    Raises:
        JournalError: the folder holds another run.
        HostError: another host has failed.
        FrameError, MaskError, TrackError, MetricsError, OSError: as `run_split` and `score_split`.
    """
    journal = Journal(output, output / split.folder)
    host, hosts = jax.process_index(), jax.process_count()

    def begin() -> None:
        if host == 0:
            journal.begin(about, overwrite)

    def run() -> None:
        own = share(split.sequences, host, hosts)
        left = [sequence for sequence in own if journal.finished(sequence) is None]
        if left:
            run_split(make_trackers(len(left)), split, output, journal, own, progress=host == 0)

    _together(begin)
    _together(run)
    outcome = None

    def score() -> None:
        nonlocal outcome
        if host:
            return
        timings = journal.all_finished(split.sequences)
        archive = write_archive(split, output) if split.archive else None
        found = score_split(split, output)
        write_results(output, split, found.scores, timings, about)
        warnings = [warning for timing in timings.values() for warning in timing.warnings]
        outcome = Outcome(output, found.scores, timings, archive, (*warnings, *found.warnings))

    _together(score)
    return outcome


def _together(work: Callable[[], None]) -> None:
    """Do a host's part and wait for the others; if one fails, all stop."""
    try:
        work()
    except Exception:
        any_failed(True)
        raise
    if any_failed(False):
        raise HostError("another host has stopped with an error, see its own output; the same command goes on")


def format_outcome(split: Split, outcome: Outcome) -> str:
    """Say what an evaluation came to, for a terminal. The last line holds the figures to quote."""
    lines = [format_results(split, outcome.scores, outcome.timings)] if outcome.scores else []
    if not outcome.scores:
        lines.append(f"not scored: {split.annotations} holds no ground truth but the given masks")
    lines.append(f"masks and scores: {outcome.output}")
    if outcome.archive:
        lines.append(f"for {split.server}: {outcome.archive}")
    speed = format_speed(outcome.timings)
    lines.append(f"{summarise(outcome.scores)}  {speed}" if outcome.scores else speed)
    return "\n".join(lines)
