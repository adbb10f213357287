"""Measure the data pipeline: clips a second for each core, bytes read for each clip, and whether it keeps ahead.

    python -m bench.data --stage video --datasets davis16 --root DAVIS --step-seconds 0.4

One thread makes clips as training would (the full recipe, decoding and merging included); its processor time for each
clip tells what one core delivers. The last lines scale that to a machine and compare it with a training step.
"""

import argparse
import os
import time
from pathlib import Path

from aot_jax.start import load_tensorflow
from configs.common import get_config


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.data",
        description="Measure the data pipeline: clips a second for each core, and bytes read for each clip.",
        epilog="example: python -m bench.data --stage video --datasets davis16 --root DAVIS --step-seconds 0.4",
    )
    parser.add_argument(
        "--stage", choices=("video", "static"), default="video", help="of training (default: %(default)s)"
    )
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=["generated"],
        metavar="NAME",
        help="as in config.data.datasets (default: generated)",
    )
    parser.add_argument("--root", default="", metavar="DIR", help="raw data (default: $VOS_DATA or ./data)")
    parser.add_argument(
        "--prepared", default="", metavar="DIR", help="prepared sets (default: ~/.cache/aot-jax/prepared)"
    )
    parser.add_argument("--crop", type=int, default=465, metavar="PIXELS", help="of a clip (default: %(default)s)")
    parser.add_argument("--merge", type=float, metavar="P", help="merge probability (default: .3, static: 1.0)")
    parser.add_argument("--clips", type=int, default=60, metavar="N", help="clips to time (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="threads; more than 1 shows how they scale (default: 1)"
    )
    parser.add_argument(
        "--step-seconds",
        type=float,
        default=0.5,
        metavar="S",
        help="of a training step, on all its GPUs together (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, default=16, metavar="N", help="clips of a training step (default: %(default)s)"
    )
    parser.add_argument(
        "--cores", type=int, default=16, metavar="N", help="of the training machine (default: %(default)s)"
    )
    return parser


def main(argv: list[str] | None = None) -> None:
    """Run one measurement and print it."""
    arguments = make_parser().parse_args(argv)
    # TensorFlow starts slowly: only after the flags are known to be good.
    tf = load_tensorflow()
    from data_pipeline.pipeline import Samples, describe, map_samples

    data = get_config().data
    merge = arguments.merge if arguments.merge is not None else (1.0 if arguments.stage == "static" else 0.3)
    data.update({"stage": arguments.stage, "root": arguments.root, "prepared": arguments.prepared})
    data.update({"crop": arguments.crop, "merge_probability": merge})
    data.datasets = tuple((name, 1) for name in arguments.datasets)
    begin = time.perf_counter()
    samples = Samples(data, seed=0)
    warm_up = 4
    indices = tf.data.Dataset.range(warm_up + arguments.clips)
    clips = iter(map_samples(samples, indices, arguments.workers))
    for _ in range(warm_up):
        next(clips)
    print(f"{arguments.stage}, crop {data.crop}, merge {merge}: {describe(samples.table)}")
    print(f"start-up {time.perf_counter() - begin:.1f} s")

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


def _bytes_of_process() -> int:
    """Return the bytes this process has read from files so far, where the system tells (Linux)."""
    counters = Path(f"/proc/{os.getpid()}/io")
    if not counters.exists():
        return 0
    return int(counters.read_text().split()[1])  # rchar


if __name__ == "__main__":
    main()
