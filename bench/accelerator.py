"""Run all measurements on one accelerator within minutes: bench/accelerator.sh OUT.

Each part is a process with its share of the time; time that it leaves goes to the next parts, and a part that fails or
runs out of time does not affect the others. Every result is written at once, as a line of OUT/results.jsonl and to
OUT/table.txt. OUT/log.txt holds what the parts print. Programs are compiled in parallel and then timed one by one;
weights are random, since times do not depend on them.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from typing import Any, NamedTuple

from bench.measure import LONGEST, format_table, one_line
from bench.peer import HELP

ROOT = Path(__file__).resolve().parents[1]
# Seconds of each part, out of SECONDS; parts run in this order, the most important first.
SHARES = {"versions": 10, "speed": 115, "peer": 30, "train": 75, "memory": 15, "parity": 20, "forms": 25}
SECONDS = 290
GRACE = 3  # seconds past its deadline before a part is stopped
WORKERS = 8  # programs compiled in parallel
WAIT = 0.5  # share of a part's time left in which all its programs should be compiled
LOCK = threading.Lock()  # lock of the result files within this process
FIRST = (("aott", 1), ("aost", 3), ("aost_r50", 3), ("aotl_r50", 3))  # networks and depths timed first
LATER = (("aost", 1), ("aost", 2), ("aost_swinb", 3), ("deaott", 1))
PEERS = ("aott", "aost_r50", "aotl_r50", "deaott")  # networks timed with the authors' code; a release may lack some
TRAINED = ("aott", "aost", "aost_r50")


class Sizes(NamedTuple):
    """Sizes of the measurements: the full ones, or `TINY` for a rehearsal on a CPU."""

    frame: tuple[int, int] = (480, 854)
    frames: int = 30  # frames after the reference
    videos: int = 8  # videos tracked at once
    networks: tuple = (FIRST, LATER)
    memory_frames: int = 50
    crop: int = 465  # pixels, side of training clips
    batch: int = 16  # clips of a training step
    steps: int = 10  # updates, including warm-up


TINY = Sizes((97, 129), 5, 2, ((FIRST[0],), (LATER[0],)), 3, 97, 2, 4)


class Part(NamedTuple):
    """A part that is running."""

    name: str
    out: Path
    sizes: Sizes
    peer: Path | None
    deadline: float  # seconds, as of `time.monotonic`

    @property
    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline - time.monotonic()

    def record(self, **figures: Any) -> None:
        """Write one result."""
        with LOCK:
            with (self.out / "results.jsonl").open("a") as file:
                file.write(json.dumps({"part": self.name, **figures}) + "\n")
            write_table(self.out)

    def measure(self, case: dict, run: Callable[..., dict], *args: Any) -> None:
        """Record the figures that `run(*args)` returns for a case, or its error; the other cases still run."""
        try:
            figures = run(*args)
        except Exception as error:  # out of memory, or the device fails
            figures = {"error": one_line(error)}
        self.record(**case, **figures)

    def compile(
        self, build: Callable[[Any], Any], cases: Iterable[dict], workers: int = WORKERS
    ) -> Iterator[tuple[dict, Any]]:
        """Build the programs of each case, in parallel, and yield them; a case that fails is recorded and left out.

        All are built before the first is yielded, so that nothing else runs while programs are timed. If that takes
        more than `WAIT` of the time left, those that are ready are yielded, then each of the others when it is built.
        """

        def attempt(case: dict) -> Any:
            try:
                return case, build(case)
            except Exception as error:  # out of memory or unsupported by the compiler; the other cases still run
                self.record(**case, error=one_line(error))

        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(attempt, case) for case in cases]
            ready, late = wait(futures, timeout=max(0.0, WAIT * self.left))
            if late:
                self.record(note=f"{len(late)} of {len(futures)} cases were compiling while others were timed")
            for future in itertools.chain((future for future in futures if future in ready), as_completed(late)):
                if (built := future.result()) is not None:
                    yield built


def write_table(out: Path) -> None:
    """Write all results so far as tables, one for each part, and the speed-up over the authors' code."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    tables = []
    for part in dict.fromkeys(row["part"] for row in rows):
        results = [{name: x for name, x in row.items() if name != "part"} for row in rows if row["part"] == part]
        names = list(dict.fromkeys(name for row in results for name in row))
        tables.append(f"{part}\n{format_table(names, [[row.get(name) for name in names] for row in results])}\n")
    theirs = {row["config"]: row["frames_per_second"] for row in rows if row["part"] == "peer" and "error" not in row}
    compared = [
        [row["config"], row["dtype"], row["videos"], row["frames_per_second"] / theirs[row["config"]]]
        for row in rows
        if row["part"] == "speed" and "error" not in row and row.get("config") in theirs and row.get("objects") == 10
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
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # set in the process of one part
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run all parts, one after the other; returns the exit code."""
    args = make_parser().parse_args(argv)
    out, sizes = args.out.resolve(), TINY if args.tiny else Sizes()
    if args.peer and args.peer.exists():  # else the name of an installed package
        args.peer = args.peer.resolve()
    if args.inside:
        from bench import accelerator_parts

        part = Part(args.parts[0], out, sizes, args.peer, time.monotonic() + args.seconds)
        getattr(accelerator_parts, part.name)(part)
        return 0
    out.mkdir(parents=True, exist_ok=True)
    for name in ("results.jsonl", "table.txt", "log.txt"):
        (out / name).write_text("")
    end = time.monotonic() + args.seconds
    for i, name in enumerate(args.parts):
        if name == "peer" and args.peer is None:
            print("peer: left out, for there is no --peer", flush=True)
            continue
        left = end - time.monotonic()
        budget = left * SHARES[name] / sum(SHARES[later] for later in args.parts[i:])
        part = Part(name, out, sizes, args.peer, time.monotonic() + budget)
        run_part(part, ["--peer", str(args.peer)] * bool(args.peer) + ["--tiny"] * args.tiny)
    print((out / "table.txt").read_text())
    return 0


def run_part(part: Part, flags: list[str]) -> None:
    """Run a part as a process; records an error if it fails or does not end in time."""
    command = [sys.executable, "-m", "bench.accelerator", str(part.out), "--inside", "--parts", part.name]
    command += ["--seconds", f"{part.left:.1f}", *flags]
    # Keep JAX off the accelerator while the authors' code is timed.
    environment = os.environ | ({"JAX_PLATFORMS": "cpu"} if part.name == "peer" else {})
    start, path = time.monotonic(), part.out / "log.txt"
    with path.open("a") as log:
        print(f"== {part.name}", file=log, flush=True)
        try:
            code = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, timeout=max(part.left, 0) + GRACE
            ).returncode
        except subprocess.TimeoutExpired:
            part.record(error=f"stopped after {time.monotonic() - start:.0f} s")
            return
    if code:
        last = path.read_text(errors="replace").strip().splitlines()[-1]
        part.record(error=f"exit code {code}: {last[:LONGEST]}")
    print(f"{part.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
