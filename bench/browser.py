"""Measure the page of `track.py --browser` in headless Chromium: seeks, strokes, opening long and large videos, memory.

    python -m bench.browser --config configs/aott.py

All videos are generated. A seek decodes from the key frame before, so its time depends on `--key_every`: cameras write
one every second or two, x264 every 250 frames unless told otherwise. The page does not draw while tracking runs, so
the picture is moved instead. Memory is the peak of the server, after seeks and tracked frames, less the peak of the
plain command with as many frames tracked. Needs Linux and Chromium.
"""

import argparse
import itertools
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

import cv2
import numpy as np

from aot_jax.io.masks import write_mask
from aot_jax.io.video_writer import H264, VideoWriter
from aot_jax.start import run as run_main
from bench.chromium import (
    CHROMIUM,
    FIRST_FRAME,
    PATIENCE,
    ROOT,
    SEEK_TO,
    Command,
    follow,
    launch,
    seek,
    spent,
    until,
)
from bench.measure import BenchError, format_table, run
from bench.network import add_network_flags, find_network
from bench.video import BenchVideo, generate_video

OPTIONS = {"crf": "23", "preset": "veryfast"}  # x264 options that use B-frames, as most videos on the web do
LONG_EDGE = 480  # long edge of the network's input: small, since the page is measured and not the network
PICTURES = 40  # distinct frames of every video, repeated forward and backward
RATE = 30  # frames a second of the videos
SIZE = (480, 854)  # height and width of the video whose seeks and strokes are measured
SEEK, STROKE, OPEN, MEMORY = 150.0, 50.0, 2.0, 500.0  # limits: ms at the 95th percentile, frames/s, s, MiB


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.browser",
        description=__doc__.splitlines()[0],
        epilog="example: python -m bench.browser --config configs/aott.py --seeks 40",
    )
    add_network_flags(parser, "configs/aott.py")
    add, default = parser.add_argument, "(default: %(default)s)"
    add("--frames", type=int, default=600, metavar="N", help=f"of the 480p video {default}")
    add("--long", type=int, default=10_000, metavar="N", help=f"of the long video {default}")
    add("--key_every", type=int, default=60, metavar="N", help=f"most frames between key frames {default}")
    add("--seeks", type=int, default=40, metavar="N", help=default)
    tracked = f"frames tracked for the memory of the long and the 4K video {default}"
    add("--tracked", type=int, default=5, metavar="N", help=tracked)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for input that cannot be used."""
    return run(make_parser(), measure_page, argv)


def measure_page(args: argparse.Namespace, overrides: list[str]) -> dict:
    """Measure and print everything."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise BenchError(f"{error}: pip install playwright") from error
    if CHROMIUM is None:
        raise BenchError("no Chromium on this machine: apt-get install chromium")
    network = find_network(args, overrides)
    flags = ["--config", args.config or args.default_config, "--random_weights"]
    flags = ["--checkpoint", args.checkpoint] if args.checkpoint else flags
    flags += ["--max_long_edge", str(LONG_EDGE), *(f"--config.{field}" for field in overrides)]
    picture = generate_video(2, PICTURES, *SIZE)
    videos = {"480p": (SIZE, args.frames), "long": ((180, 320), args.long), "4K": ((2160, 3840), PICTURES)}
    figures: dict = {"config": network.config.name, "chromium": version(), "key_every": args.key_every, "open": []}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = launch(driver)
        for name, (size, count) in videos.items():
            print(f"{name}: {count} frames of {size[1]}x{size[0]} …", file=sys.stderr, flush=True)
            place = Path(folder, name)
            given = [*write_video(place, picture, size, count, args.key_every), *flags]
            command = Command(place, *given)
            try:
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.set_default_timeout(1000 * PATIENCE)
                row = open_page(command, page, name, size, count)
                if name == "480p":
                    figures["feel"] = measure_feel(page, size, args.seeks, count, command.process.pid)
                else:
                    row |= measure_memory(command, page, given, args.tracked, count)
                figures["open"].append(row)
                page.close()
            finally:
                command.kill()
        browser.close()
    print("\n" + format_feel(figures["feel"]) + "\n\n" + format_open(figures["open"]))
    return figures


def version() -> str:
    """Return Chromium's name and version."""
    return subprocess.run([str(CHROMIUM), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def write_video(folder: Path, picture: BenchVideo, size: Sequence[int], count: int, key_every: int) -> list[str]:
    """Write a video and the mask of its first frame; returns the arguments that give both to `track.py`."""
    folder.mkdir()
    shape = size[1], size[0]
    small = replace(picture, frames=[cv2.resize(x, shape, interpolation=cv2.INTER_AREA) for x in picture.frames])
    encoding = replace(H264, options={**OPTIONS, "g": str(key_every)})
    with VideoWriter(folder / "clip.mp4", RATE, encoding=encoding) as writer:
        for frame in itertools.islice(itertools.chain(small.frames[:1], small.onward()), count):
            writer.write(frame)
    mask = cv2.resize(picture.mask, shape, interpolation=cv2.INTER_NEAREST)
    write_mask(folder / "first.png", mask)
    return [str(folder / "clip.mp4"), "--mask", str(folder / "first.png")]


def open_page(command: Command, page: Any, name: str, size: Sequence[int], count: int) -> dict:
    """Open the page; returns the seconds until the server answered and until the page showed its first frame."""
    page.goto(command.address)
    shown = page.evaluate(FIRST_FRAME) / 1000
    return {"clip": name, "size": list(size), "frames": count, "command": command.seconds, "page": shown}


def measure_feel(page: Any, size: Sequence[int], seeks: int, count: int, server: int) -> list[dict]:
    """Time seeks and drags of the pointer, at rest and while tracking runs; `server` is the id of its process."""
    rng = np.random.default_rng(0)
    rows = []
    for when, tool in (("at rest", "b"), ("tracking", "h")):
        if when == "tracking":
            page.evaluate(SEEK_TO, 0)
            page.uncheck("#follow")
            page.locator("#view").focus()
            page.keyboard.press("t")
            until(page, "/ left$|Done/.test(document.getElementById('progress').textContent)")
        browser, both = spent(), spent(server)
        times = seek(page, rng.integers(1, count, seeks))
        between, seeking = spent(), spent(server) - both
        rate, frames = follow(page, size, tool)
        rows.append(
            {
                "when": when,
                "seek": statistics.median(times),
                "seek_p95": float(np.percentile(times, 95)),
                "seek_processor": 1000 * seeking / seeks if tool == "b" else 1000 * (between - browser) / seeks,
                "follow": rate,
                "follow_processor": 1000 * (spent() - between) / frames,
            }
        )
    if page.evaluate("document.getElementById('stop').hidden"):
        raise BenchError("tracking ended before the measurement: give more --frames")
    return rows


def measure_memory(command: Command, page: Any, given: Sequence[str], tracked: int, count: int) -> dict:
    """Compare the peak memory of the server and of the plain command, in MiB, with as many frames tracked."""
    page.uncheck("#follow")
    page.locator("#view").focus()
    page.keyboard.press("t")
    wait_for_masks(command.folder / "out", tracked, command.process)
    seek(page, np.linspace(count - 1, 0, 20).round().astype(int))
    server, tracked = peak(command.process.pid), written(command.folder / "out")
    plain = [sys.executable, str(ROOT / "track.py"), *given, "--output", "plain", "--quiet", "--no_overlay"]
    with subprocess.Popen(plain, cwd=command.folder, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for_masks(command.folder / "plain", tracked, process)
            return {"server": server, "plain": peak(process.pid)}
        finally:
            process.kill()


def wait_for_masks(folder: Path, count: int, process: subprocess.Popen) -> None:
    """Wait until a process has written masks of the first `count` frames.

    Raises:
        BenchError: it ended, or they did not come in time.
    """
    end = time.monotonic() + PATIENCE
    while written(folder) < count:
        if process.poll() is not None or time.monotonic() > end:
            raise BenchError(f"{folder} has no masks of {count} frames; track.py itself shows why")
        time.sleep(0.1)


def written(folder: Path) -> int:
    """Return the number of masks in a folder of results."""
    return len(list((folder / "masks").glob("*.png")))


def peak(pid: int) -> float:
    """Return the peak resident memory of a process, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def format_feel(rows: list[dict]) -> str:
    """Format the rows of seeks and strokes, below a row with their limits."""
    head = ("480p", "seek ms", "95th percentile", "processor ms", "pointer frames/s", "processor ms")
    text = (
        "seek: median, from the request to the frame shown; pointer: frames that showed it moved; processor: time of "
        "one, of Chromium (drawn without a GPU) and, for a seek at rest, the server"
    )
    return (
        format_table(head, [["limit", None, SEEK, None, STROKE, None], *(list(r.values()) for r in rows)]) + "\n" + text
    )


def format_open(rows: list[dict]) -> str:
    """Format the rows of opening and memory; times of the command are relative to the first video's."""
    first = rows[0]
    table: list[list] = [["limit", None, None, None, OPEN, None, None, MEMORY]]
    for row in rows:
        server, plain = row.get("server"), row.get("plain")
        size = f"{row['size'][1]}x{row['size'][0]}"
        opened = row["page"] + max(0.0, row["command"] - first["command"])
        extra = None if server is None else server - plain
        table.append(
            [row["clip"], f"{row['frames']} of {size}", row["command"], row["page"], opened, server, plain, extra]
        )
    head = ("clip", "frames", "command s", "page s", "opened s", "server MiB", "plain MiB", "more MiB")
    text = "opened: the page, and what the command took longer than for the first clip"
    return format_table(head, table) + "\n" + text


if __name__ == "__main__":
    run_main(main)
