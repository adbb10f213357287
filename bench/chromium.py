"""The page of `track.py --browser` in headless Chromium: start the server, open the page, operate and time it."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
PATIENCE = 180.0  # timeout of a step in seconds, enough for a busy machine
SECONDS = 4.0  # length of a stroke
MARGIN = 0.98  # share of the canvas that a fitted frame takes, as in view.js

SEEK_TO = """async (index) => {
  const start = performance.now(), bar = document.getElementById("timeline"), field = document.getElementById("frame");
  field.value = index;
  field.dispatchEvent(new Event("change"));
  do await new Promise(requestAnimationFrame); while (bar.getAttribute("aria-valuenow") !== String(index));
  return performance.now() - start;
}"""
FIRST_FRAME = """async () => {
  const bar = document.getElementById("timeline");
  do await new Promise(requestAnimationFrame); while (!bar.hasAttribute("aria-valuenow"));
  return performance.now();
}"""
# Counts animation frames that follow a pointer event: the view is painted once in each.
COUNT_FRAMES = """() => {
  const count = (window.strokes = { frames: 0, first: 0, last: 0, on: true });
  let moved = false;
  document.getElementById("view").addEventListener("pointermove", () => { moved = true; });
  const tick = (now) => {
    if (moved) { count.frames++; count.first ||= now; count.last = now; moved = false; }
    if (count.on) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}"""
FRAME_RATE = """() => {
  const c = window.strokes;
  c.on = false;
  return [(c.frames - 1) / (c.last - c.first) * 1000, c.frames];
}"""


class Command:
    """Process of `track.py` that serves the page, which can be killed and restarted.

    Args:
        folder: working directory; results go to its folder `out`.
        given: arguments of `track.py` besides `--browser`, `--port` and `--output`.
    """

    def __init__(self, folder: Path, *given: str) -> None:
        self.folder, self.given = folder, given
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start the server, wait until it answers, and set `seconds` to the time that took."""
        began = time.monotonic()
        flags = ["--browser", "--port", str(self.port), "--output", str(self.folder / "out")]
        environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "track.py"), *self.given, *flags],
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment,
        )
        assert self.process.stdout is not None
        self.address = next((line for line in self.process.stdout if "token=" in line), "").strip()
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(self.address).close()
                self.seconds = time.monotonic() - began
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.05)
        raise RuntimeError(f"track.py --browser ended with exit code {self.process.returncode}")

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """Stop the server as Ctrl-C does; returns its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self._end()

    def _end(self) -> int:
        assert self.process.stdout is not None
        code = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        return code


def launch(driver: Any) -> Any:
    """Start Chromium without a window; `driver` is Playwright's."""
    return driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


def until(page: Any, condition: str, seconds: float = PATIENCE) -> None:
    """Poll until an expression is true; the page's security policy forbids Playwright's `wait_for_function`.

    Raises:
        TimeoutError: it stayed false.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(condition)
        page.wait_for_timeout(50)


def on_frame(page: Any, size: Sequence[int], x: float, y: float) -> tuple[float, float]:
    """Return the screen position of a pixel of the frame, whose `size` is (h, w); the whole frame must be visible."""
    box = page.locator("#view").bounding_box()
    height, width = size
    scale = min(box["width"] / width, box["height"] / height) * MARGIN
    left = box["x"] + (box["width"] - width * scale) / 2
    return left + x * scale, box["y"] + (box["height"] - height * scale) / 2 + y * scale


def seek(page: Any, indices: Iterable[int]) -> list[float]:
    """Return the milliseconds from each seek to the frame shown."""
    return [page.evaluate(SEEK_TO, int(index)) for index in indices]


def follow(page: Any, size: Sequence[int], tool: str) -> tuple[float, int]:
    """Drag the pointer in circles with a tool, given by its key.

    Returns:
        Animation frames a second that followed a move of the pointer, and their number.
    """
    height, width = size
    page.locator("#view").focus()
    page.keyboard.press(tool)
    angles = itertools.count(0, 0.05)
    points = (
        on_frame(page, size, width / 2 + height / 3 * np.cos(a), height / 2 + height / 3 * np.sin(a)) for a in angles
    )
    points = list(itertools.islice(points, 126))  # once around
    page.mouse.move(*points[0])
    page.mouse.down()
    page.evaluate(COUNT_FRAMES)
    end = time.monotonic() + SECONDS
    for point in itertools.cycle(points):
        page.mouse.move(*point)
        if time.monotonic() > end:
            break
    rate, frames = page.evaluate(FRAME_RATE)
    page.mouse.up()
    if tool == "h":
        page.keyboard.press("0")
    return rate, frames


def spent(*others: int) -> float:
    """Return the seconds of processor time that Chromium and other processes have taken so far."""
    total, parents, seconds, names = 0.0, {}, {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            pid, _, rest = path.read_text().partition(" (")
            name, _, rest = rest.rpartition(") ")
            fields = rest.split()
            parents[int(pid)], names[int(pid)] = int(fields[1]), name
            seconds[int(pid)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for pid, name in names.items():
        above = pid
        while name.startswith("chrom") and above in parents and above != os.getpid():
            above = parents[above]
        if (above == os.getpid() != pid) or pid in others:
            total += seconds[pid]
    return total
