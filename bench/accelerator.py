"""Measure everything on one accelerator, within minutes: bench/accelerator.sh OUT.

Each part is a process of its own with its share of the time; what one leaves goes to the next, and a part that fails
or runs out of time costs nothing but its own rest. Every result is written at once: as a line of OUT/results.jsonl,
and into OUT/table.txt. OUT/PART.log has what a part printed. Programs are compiled side by side and then timed one by
one; networks hold numbers in place of weights, on which times do not depend.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import format_table
from bench.peer import HELP

ROOT = Path(__file__).resolve().parents[1]
# Seconds of each part, of SECONDS in all; in this order, the most wanted first.
SHARES = {"versions": 10, "speed": 115, "peer": 30, "train": 75, "memory": 15, "parity": 20, "forms": 25}
SECONDS = 290
GRACE = 3  # seconds more before a part is stopped
WORKERS = 8  # programs compiled side by side
FIRST = (("aott", 1), ("aost", 3), ("aost_r50", 3), ("aotl_r50", 3))  # networks and depths
LATER = (("aost", 1), ("aost", 2), ("aost_swinb", 3), ("deaott", 1))
PEERS = ("aott", "aost_r50", "aotl_r50", "deaott")  # its release lacks some of them
TRAINED = ("aott", "aost", "aost_r50")


class Sizes(NamedTuple):
    """What is measured: the whole, or a rehearsal."""

    frame: tuple[int, int] = (480, 854)
    frames: int = 30  # after the reference
    videos: int = 8  # at once
    networks: tuple = (FIRST, LATER)
    memory_frames: int = 50
    crop: int = 465  # of training clips, pixels
    batch: int = 16  # clips
    steps: int = 10  # updates, of which the first do not count


TINY = Sizes((97, 129), 5, 2, ((FIRST[0],), (LATER[0],)), 3, 97, 2, 4)


class Part(NamedTuple):
    """A part that is running."""

    name: str
    out: Path
    sizes: Sizes
    peer: Path | None
    deadline: float  # of `time.monotonic`

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.deadline - time.monotonic()

    def record(self, **figures: Any) -> None:
        """Write one result."""
        with (self.out / "results.jsonl").open("a") as file:
            file.write(json.dumps({"part": self.name, **figures}) + "\n")
        write_table(self.out)

    def compile(self, build: Callable[[Any], Any], cases: Iterable[dict]) -> list[tuple[dict, Any]]:
        """Build what each case needs, side by side; a case that fails is recorded and left out."""

        def attempt(case: dict) -> Any:
            try:
                return case, build(case)
            except Exception as error:  # out of memory, what a compiler does not know: the other cases go on
                self.record(**case, error=short(error))

        with ThreadPoolExecutor(WORKERS) as pool:
            return [built for built in pool.map(attempt, cases) if built is not None]


def short(error: BaseException) -> str:
    """Return an error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def write_table(out: Path) -> None:
    """Lay out all results so far: a table for each part, and our frames a second over the authors'."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    tables = []
    for part in dict.fromkeys(row["part"] for row in rows):
        own = [{name: x for name, x in row.items() if name != "part"} for row in rows if row["part"] == part]
        names = list(dict.fromkeys(name for row in own for name in row))
        tables.append(f"{part}\n{format_table(names, [[row.get(name) for name in names] for row in own])}\n")
    theirs = {row["config"]: row["frames_per_second"] for row in rows if row["part"] == "peer" and "error" not in row}
    compared = [
        [row["config"], row["dtype"], row["videos"], row["frames_per_second"] / theirs[row["config"]]]
        for row in rows
        if row["part"] == "speed" and row.get("config") in theirs and row.get("objects") == 10
    ]
    if compared:
        headers = ("config", "dtype", "videos at once", "times as fast as the authors' code")
        tables.append(f"beside the authors' code\n{format_table(headers, compared)}\n")
    (out / "table.txt").write_text("\n".join(tables))


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.accelerator",
        description="Measure everything on one accelerator, within minutes.",
        epilog="example: python -m bench.accelerator results/h100 --peer deaotpy. bench/accelerator.sh does the same.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    parser.add_argument("--peer", type=Path, metavar="PATH", help=HELP)
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="N", help="in all (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES), help="to run (default: all)")
    parser.add_argument("--tiny", action="store_true", help="small sizes and few cases, to rehearse on a CPU")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the process of one part
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run all parts, one after the other; returns the exit code."""
    args = make_parser().parse_args(argv)
    out, sizes = args.out.resolve(), TINY if args.tiny else Sizes()
    if args.inside:
        from bench import accelerator_parts

        part = Part(args.parts[0], out, sizes, args.peer, time.monotonic() + args.seconds)
        getattr(accelerator_parts, part.name)(part)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.jsonl").write_text("")
    end = time.monotonic() + args.seconds
    for i, name in enumerate(args.parts):
        if name == "peer" and args.peer is None:
            continue
        left = end - time.monotonic()
        budget = left * SHARES[name] / sum(SHARES[later] for later in args.parts[i:])
        part = Part(name, out, sizes, args.peer, time.monotonic() + budget)
        run_part(part, ["--peer", str(args.peer)] * bool(args.peer) + ["--tiny"] * args.tiny)
    print((out / "table.txt").read_text())
    return 0


def run_part(part: Part, flags: list[str]) -> None:
    """Run a part as a process; says in a result if it fails, or does not end in time."""
    command = [sys.executable, "-m", "bench.accelerator", str(part.out), "--inside", "--parts", part.name]
    command += ["--seconds", f"{part.left:.1f}", *flags]
    # The authors' code has the accelerator to itself.
    environment = os.environ | ({"JAX_PLATFORMS": "cpu"} if part.name == "peer" else {})
    start, path = time.monotonic(), part.out / f"{part.name}.log"
    with path.open("w") as log:
        try:
            code = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=max(part.left, 0) + GRACE
            ).returncode
        except subprocess.TimeoutExpired:
            part.record(error=f"stopped after {time.monotonic() - start:.0f} s")
            return
    if code:
        last = (path.read_text().strip().splitlines() or ["?"])[-1]
        part.record(error=f"exit code {code}: {last[:300]}")
    print(f"{part.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
