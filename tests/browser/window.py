"""A small video in the page in Chromium: its sizes, and actions of a user."""

import pytest

from bench.chromium import CHROMIUM, on_frame, until

FRAMES, H, W = 8, 96, 128
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
