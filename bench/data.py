"""Measure the data pipeline: clips a second for each core, bytes read for each clip, and whether it keeps ahead.

    python -m bench.data --stage video --datasets davis16 --root DAVIS --step_seconds 0.4

One thread makes clips as training does, decoding and merging included; its processor time for each clip gives the rate
of one core, even on a busy machine. The last lines scale the rate to a machine and compare it with a training step.
"""

import argparse
import itertools
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from bench.measure import BenchError, run
from configs.common import get_config
from data_pipeline.pipeline import thread_batches
from data_pipeline.samples import Samples, describe

WARM_UP = 4  # clips that are not timed


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.data",
        description="Measure the data pipeline: clips a second for each core, and bytes read for each clip.",
        epilog="example: python -m bench.data --stage video --datasets davis16 --root DAVIS --step_seconds 0.4",
    )
    add = parser.add_argument
    add("--stage", choices=("video", "static"), default="video", help="stage of training (default: %(default)s)")
    datasets = "as in config.data.datasets; static in the video stage: moving clips (default: generated)"
    add("--datasets", nargs="+", default=["generated"], metavar="NAME", help=datasets)
    add("--root", default="", metavar="DIR", help="raw data (default: $VOS_DATA or ./data)")
    add("--prepared", default="", metavar="DIR", help="prepared sets (default: ~/.cache/aot-jax/prepared)")
    add("--crop", type=int, default=465, metavar="PIXELS", help="side of a clip (default: %(default)s)")
    add("--merge", type=float, metavar="P", help="merge probability (default: .3, static: 1.0)")
    add("--augmentation", choices=("v1", "v2"), default="v1", help="recipe of colours (default: %(default)s)")
    add("--clips", type=int, default=60, metavar="N", help="clips to time (default: %(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="threads; more than 1 shows how they scale (default: 1)")
    step = "duration of a training step on all its GPUs together (default: %(default)s)"
    add("--step_seconds", type=float, default=0.5, metavar="S", help=step)
    add("--batch", type=int, default=16, metavar="N", help="clips of a training step (default: %(default)s)")
    add("--cores", type=int, default=16, metavar="N", help="cores of the training machine (default: %(default)s)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for data that cannot be used."""
    return run(make_parser(), measure_data, argv)


def measure_data(arguments: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print the pipeline."""
    if overrides:
        raise BenchError(f"--config.{overrides[0]}: this program takes no config fields; --help lists its flags")
    data = get_config().data
    merge = arguments.merge if arguments.merge is not None else (1.0 if arguments.stage == "static" else 0.3)
    data.update({"stage": arguments.stage, "root": arguments.root, "prepared": arguments.prepared})
    data.update({"crop": arguments.crop, "merge_probability": merge, "augmentation": arguments.augmentation})
    data.datasets = tuple((name, 1) for name in arguments.datasets)
    begin = time.perf_counter()
    samples = Samples(data, seed=0)
    data.prefetch = arguments.workers  # batches of one clip
    clips = thread_batches(samples, range(WARM_UP + arguments.clips), 1, arguments.workers)
    for _ in itertools.islice(clips, WARM_UP):
        pass
    print(
        f"{arguments.stage}, crop {data.crop}, merge {merge}, colours {data.augmentation}: {describe(samples.table)}, "
        f"from {'raw files' if samples.reader.sets[0].raw else 'records'}"
    )
    start_up = time.perf_counter() - begin
    print(f"start-up {start_up:.1f} s")

    read, disk = samples.reader.bytes_read, _bytes_of_process()
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in clips)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    read, disk = samples.reader.bytes_read - read, _bytes_of_process() - disk
    out = data.frames * data.crop**2 * 4
    print(f"{count} clips in {wall:.2f} s on {arguments.workers} thread(s), {cpu:.2f} s of processor time")
    print(f"  {count / wall:.2f} clips a second; {count / cpu:.2f} a second a core; {1e3 * cpu / count:.0f} ms each")
    print(
        f"  {read / count / 1024:.0f} KiB of records read for each clip, {disk / count / 1024:.0f} KiB by system calls"
    )
    print(f"  {out / 2**20:.1f} MiB a clip to the device as uint8 images and masks")

    need, have = arguments.batch / arguments.step_seconds, arguments.cores * count / cpu
    print(f"A step of {arguments.batch} clips in {arguments.step_seconds} s takes {need:.1f} clips a second.")
    print(f"{arguments.cores} cores x {count / cpu:.2f} = {have:.1f} clips a second: {have / need:.1f} times that.")
    print(f"Shortest step that {arguments.cores} cores keep ahead of: {arguments.batch / have:.2f} s.")
    return {
        "clips": count,
        "start_up_seconds": start_up,
        "wall_seconds": wall,
        "processor_seconds": cpu,
        "record_bytes_read": read,
        "bytes_read": disk,
        "clips_per_second_needed": need,
        "clips_per_second_possible": have,
    }


def _bytes_of_process() -> int:
    """Return the bytes that this process has read so far; 0 on systems other than Linux."""
    counters = Path(f"/proc/{os.getpid()}/io")
    if not counters.exists():
        return 0
    return int(counters.read_text().split()[1])  # rchar


if __name__ == "__main__":
    sys.exit(main())
