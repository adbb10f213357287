"""Report scores as a table, CSV and JSON, and pack masks for a benchmark's server."""

import csv
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from aot_jax.evaluation.splits import Split
from aot_jax.evaluation.timing import Timing, end_to_end_fps, overall_fps
from aot_jax.io.files import atomic_write
from aot_jax.metrics import Scores, Summary, summarise
from aot_jax.runs import write_json

Timings = Mapping[str, Timing]
HEADER = ("sequence", "object", "J", "F", "J&F")

_DATE = (1980, 1, 1, 0, 0, 0)  # fixed date of files in an archive, so that the same masks give the same bytes


def format_table(scores: Scores, timings: Timings | None = None) -> str:
    """Format a table with one line per object: sequence, object, J, F, J&F and, with timings, frames a second."""
    rows = [_header(timings), *_rows(scores, timings, digits=4)]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"  {cell:>6}" for cell in row[1:]) for row in rows)


def write_csv(path: str | Path, scores: Scores, timings: Timings | None = None) -> None:
    """Write the table as CSV: four digits with timings; six without, and a last row with means over objects.

    Missing folders are made.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    rows = list(_rows(scores, timings, digits=6 if timings is None else 4))
    if timings is None:
        summary = summarise(scores)
        rows.append(("mean", "", *(f"{figure:.6f}" for figure in (summary.J, summary.F, summary.JF))))
    with (
        atomic_write(Path(path)) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        csv.writer(stream).writerows([_header(timings), *rows])


def seen_and_unseen(split: Split, scores: Scores) -> dict[str, Summary]:
    """Average over objects of seen and of unseen categories: {"seen": ..., "unseen": ...}; without empty groups."""
    categories = {
        (sequence.name, i): thing.category for sequence in split.sequences for i, thing in sequence.objects.items()
    }
    parts: dict[str, dict] = {"seen": {}, "unseen": {}}
    for name, objects in scores.items():
        for i, score in objects.items():
            category = categories.get((name, i))
            if category:
                parts["seen" if category in split.seen else "unseen"].setdefault(name, {})[i] = score
    return {part: summarise(group) for part, group in parts.items() if group}


def own_figures(split: Split, scores: Scores) -> dict[str, float]:
    """Return the figures that only some benchmarks have.

    YouTube-VOS' G is the mean of J and F of seen and unseen categories; VOST's J_tr the mean J of the last quarter of
    each object's scored frames.
    """
    figures, parts = {}, seen_and_unseen(split, scores)
    if len(parts) == 2:
        figures["G"] = (parts["seen"].JF + parts["unseen"].JF) / 2
    if split.name == "vost" and scores:
        late = [score.J[len(score.J) * 3 // 4 :].mean() for objects in scores.values() for score in objects.values()]
        figures["J_tr"] = float(sum(late) / len(late))
    return figures


def format_scores(split: Split, scores: Scores, timings: Timings) -> str:
    """Format the table of a split, with means over seen and unseen categories if the benchmark has them."""
    lines = [format_table(scores, timings)]
    parts = seen_and_unseen(split, scores)
    lines += [f"{part} categories: {summary}, {summary.objects} objects" for part, summary in parts.items()]
    lines += [f"{name} {figure:.4f}" for name, figure in own_figures(split, scores).items()]
    return "\n".join(lines)


def format_speed(timings: Timings) -> str:
    """Format the speed of one device."""
    fps, all_fps = overall_fps(timings.values()), end_to_end_fps(timings.values())
    return f"fps {fps:.2f} (all objects together, after compilation, without disk), {all_fps:.2f} end to end"


def write_results(
    output: Path, split: Split, scores: Scores, frames: int, timings: Timings, settings: Mapping[str, object]
) -> None:
    """Write scores.json, and scores.csv if there are scores.

    Args:
        output: results folder.
        split: evaluated split.
        scores: scores by video and object; empty without ground truth.
        frames: number of scored frames.
        timings: timings of all videos.
        settings: settings of the run, copied to scores.json.

    Raises:
        OSError: a file cannot be written; the error names it.
    """
    content = {
        **settings,
        "fps": _number(overall_fps(timings.values())),
        "end_to_end_fps": _number(end_to_end_fps(timings.values())),
        "videos": {name: {"frames": t.all_frames, "fps": _number(t.fps)} for name, t in timings.items()},
    }
    if scores:
        write_csv(output / "scores.csv", scores, timings)
        summary, parts = summarise(scores), seen_and_unseen(split, scores)
        content |= {**summary.figures, "objects": summary.objects, "scored_frames": frames}
        content |= {part: {"J": mean.J, "F": mean.F, "objects": mean.objects} for part, mean in parts.items()}
        content |= own_figures(split, scores)
        content["sequences"] = {
            name: {str(i): {"J": score.J_mean, "F": score.F_mean} for i, score in objects.items()}
            for name, objects in scores.items()
        }
    write_json(output / "scores.json", content)


def write_archive(split: Split, output: Path) -> Path:
    """Pack the masks of the benchmark's frames into `output`/`split.archive`; return its path.

    Entries are named `split.folder`/VIDEO/FRAME.png: YouTube-VOS requires a folder Annotations, DAVIS videos at the
    root.

    Raises:
        OSError: a mask is missing, or the archive cannot be written.
    """
    archive = output / split.archive
    with atomic_write(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as pack:
        for sequence in split.sequences:
            for stem in sequence.stems:
                path = output / split.folder / sequence.name / f"{stem}.png"
                entry = zipfile.ZipInfo(path.relative_to(output).as_posix(), _DATE)
                entry.external_attr = 0o644 << 16
                pack.writestr(entry, path.read_bytes())
    return archive


def _header(timings: Timings | None) -> tuple[str, ...]:
    return HEADER if timings is None else (*HEADER, "fps")


def _rows(scores: Scores, timings: Timings | None, digits: int) -> Iterator[tuple[str, ...]]:
    for name, objects in scores.items():
        for i, score in objects.items():
            figures = (f"{figure:.{digits}f}" for figure in (score.J_mean, score.F_mean, score.JF_mean))
            yield name, str(i), *figures, *([] if timings is None else [f"{timings[name].fps:.2f}"])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value  # JSON has no nan
