"""Score folders of masks from the command line: `python -m aot_jax.metrics`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aot_jax.evaluation.ground_truth import score_folders
from aot_jax.evaluation.report import format_table, write_csv
from aot_jax.io.datasets import read_names
from aot_jax.metrics import summarise
from aot_jax.start import reports_errors, run


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
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
    names = "score these only: names, or a text file of names, one a line (default: all of the ground truth)"
    parser.add_argument("--sequences", nargs="+", metavar="NAME", help=names)
    return parser


@reports_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code, 2 for input that cannot be scored."""
    parser = make_parser()
    flags = parser.parse_args(arguments)
    if flags.workers is not None and flags.workers < 1:
        parser.error(f"--workers {flags.workers}: give 1 or more")
    names = flags.sequences and [
        name for item in flags.sequences for name in (read_names(Path(item)) if Path(item).is_file() else [item])
    ]
    found = score_folders(flags.ground_truth, flags.prediction, flags.binary, flags.workers, sequences=names)
    if flags.csv:
        write_csv(flags.csv, found.scores)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(format_table(found.scores))
    print(summarise(found.scores))
    return 0


if __name__ == "__main__":
    run(main)
