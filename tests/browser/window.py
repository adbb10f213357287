"""A small video in the page in Chromium: its sizes, and actions of a user."""

import time

import numpy as np
import pytest

from bench.chromium import CHROMIUM, PATIENCE, on_frame, until

FRAMES, H, W = 8, 96, 128
SQUARE = np.s_[30:66, 30:66]  # a square of one colour in every frame, on noise
NETWORK = ("--config", "quickstart", "--random_weights", "--max_frames", "4")
MARKS = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]


def drag(page, *points):
    page.mouse.move(*on_frame(page, (H, W), *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*on_frame(page, (H, W), *point), steps=4)
    page.mouse.up()


def seek(page, index):
    page.fill("#frame", str(index))
    page.press("#frame", "Enter")
    until(page, f"document.getElementById('timeline').getAttribute('aria-valuenow') === '{index}'")
    page.locator("#view").focus()


def wait_for(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def finished(page):
    until(page, "/Done|Stopped/.test(document.getElementById('progress').textContent)")


def mask_of(command, index, folder="masks"):
    return command.folder / "out" / folder / f"{index:05d}.png"
