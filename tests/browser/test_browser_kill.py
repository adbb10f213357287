"""A server that is killed while tracking runs, in headless Chromium: what is kept, and how the page goes on."""

import re
import time

import numpy as np
import tiny
import window

from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import read_mask, write_mask
from bench.chromium import PATIENCE, Command, until

pytestmark = window.MARKS
FRAMES, BEFORE = 24, 4  # frames of the video, and masks written when the server is killed


def test_a_server_killed_while_tracking_loses_at_most_the_frame_in_work(browser, tmp_path):
    (tmp_path / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(8, window.H, window.W)):
        for index in range(t, FRAMES, 8):
            write_jpeg(tmp_path / "clip" / f"{index:05d}.jpg", frame)
    labels = np.zeros((window.H, window.W), np.int32)
    labels[20:60, 30:80] = 1
    write_mask(tmp_path / "first.png", labels)
    command = Command(tmp_path, str(tmp_path / "clip"), "--mask", str(tmp_path / "first.png"), *window.NETWORK)
    masks = tmp_path / "out" / "masks"
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    try:
        page.goto(command.address)
        until(page, f"document.getElementById('count').textContent === 'of {FRAMES}'")
        page.locator("#view").focus()
        page.keyboard.press("t")
        end = time.monotonic() + PATIENCE
        while len(list(masks.glob("*.png"))) < BEFORE:
            assert time.monotonic() < end, "no masks were written"
            time.sleep(0.005)
        command.kill()

        until(page, "document.getElementById('link').textContent !== ''")
        shown = re.match(r"frame (\d+):", page.inner_text("#progress"))
        kept = sorted(masks.glob("*.png"))
        assert BEFORE <= len(kept) < FRAMES, "it was not killed in the middle"
        assert [path.name for path in kept] == [f"{i:05d}.png" for i in range(len(kept))]
        assert all(read_mask(path).shape == labels.shape for path in kept)
        assert shown is None or int(shown[1]) < len(kept)  # what the page was told of is on disk
        times = [path.stat().st_mtime_ns for path in kept]

        address = command.address
        command.start()
        assert command.address == address
        until(page, "document.getElementById('link').textContent === ''")
        until(page, "document.getElementById('stop').hidden")
        page.locator("#view").focus()
        page.keyboard.press("End")
        page.evaluate("document.getElementById('progress').textContent = ''")
        until(page, f"document.getElementById('timeline').getAttribute('aria-valuenow') === '{FRAMES - 1}'")
        page.keyboard.press("t")
        until(page, "document.getElementById('progress').textContent === 'Done.'", 4 * PATIENCE)
        assert len(list(masks.glob("*.png"))) == FRAMES
        assert [path.stat().st_mtime_ns for path in kept] == times  # none was made again
        assert not list(masks.glob(".*"))
    finally:
        page.close()
        command.kill()
