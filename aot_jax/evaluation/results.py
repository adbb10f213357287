"""Figures of a run: what eval.py prints, and scores.csv and scores.json."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from aot_jax.evaluation.splits import Split
from aot_jax.evaluation.timing import Timing, end_to_end_fps, overall_fps
from aot_jax.io.files import atomic_write
from aot_jax.metrics import Scores, Summary, summarise

Timings = Mapping[str, Timing]


def seen_and_unseen(split: Split, scores: Scores) -> dict[str, Summary]:
    """Average apart over objects of training categories and of others: {"seen": ..., "unseen": ...}, as there are."""
    categories = {
        (sequence.name, i): thing.category for sequence in split.sequences for i, thing in sequence.objects.items()
    }
    parts: dict[str, dict] = {"seen": {}, "unseen": {}}
    for name, objects in scores.items():
        for i, score in objects.items():
            category = categories.get((name, i))
            if category:
                parts["seen" if category in split.seen else "unseen"].setdefault(name, {})[i] = score
    return {part: summarise(own) for part, own in parts.items() if own}


def overall(parts: Mapping[str, Summary]) -> float | None:
    """Return YouTube-VOS' G, the mean of J and F of seen and unseen categories; None unless both are there."""
    return (parts["seen"].JF + parts["unseen"].JF) / 2 if len(parts) == 2 else None


def format_results(split: Split, scores: Scores, timings: Timings) -> str:
    """Lay out sequence, object, J, F, J&F and frames a second, and the means, for a terminal."""
    lines = []
    if scores:
        rows = [("sequence", "object", "J", "F", "J&F", "fps"), *_rows(scores, timings)]
        width = max(len(row[0]) for row in rows)
        lines += [f"{row[0]:<{width}}" + "".join(f"  {cell:>6}" for cell in row[1:]) for row in rows]
        parts = seen_and_unseen(split, scores)
        lines += [f"{part} categories: {summary}, {summary.objects} objects" for part, summary in parts.items()]
        if (G := overall(parts)) is not None:
            lines.append(f"G {G:.4f}")
    return "\n".join(lines)


def format_speed(timings: Timings) -> str:
    """Say how fast one device was."""
    fps, all_fps = overall_fps(timings.values()), end_to_end_fps(timings.values())
    return f"fps {fps:.2f} (all objects together, after compilation, without disk), {all_fps:.2f} end to end"


def write_results(output: Path, split: Split, scores: Scores, timings: Timings, about: Mapping[str, object]) -> None:
    """Write scores.json, and scores.csv if there are scores; `about` says what was run.

    Raises:
        OSError: a file cannot be written; it names it.
    """
    content = {
        **about,
        "fps": _number(overall_fps(timings.values())),
        "end_to_end_fps": _number(end_to_end_fps(timings.values())),
        "videos": {name: {"frames": t.all_frames, "fps": _number(t.fps)} for name, t in timings.items()},
    }
    if scores:
        with atomic_write(output / "scores.csv") as temporary, temporary.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["sequence", "object", "J", "F", "J&F", "fps"])
            writer.writerows(_rows(scores, timings))
        summary, parts = summarise(scores), seen_and_unseen(split, scores)
        content |= {"J&F": summary.JF, "J": summary.J, "F": summary.F, "objects": summary.objects}
        content |= {part: {"J": own.J, "F": own.F, "objects": own.objects} for part, own in parts.items()}
        if (G := overall(parts)) is not None:
            content["G"] = G
        content["sequences"] = {
            name: {str(i): {"J": score.J_mean, "F": score.F_mean} for i, score in objects.items()}
            for name, objects in scores.items()
        }
    with atomic_write(output / "scores.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _rows(scores: Scores, timings: Timings) -> Iterator[tuple[str, ...]]:
    for name, objects in scores.items():
        for i, score in objects.items():
            figures = (score.J_mean, score.F_mean, score.JF_mean)
            yield name, str(i), *(f"{figure:.4f}" for figure in figures), f"{timings[name].fps:.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no nan
