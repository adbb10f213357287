"""bench/browser.py: its tables and its count of processor time; tests/browser drives the page in the same way."""

import os
import time

from bench import browser, chromium


def test_a_clip_is_opened_when_its_page_shows_and_the_command_took_no_longer_than_for_the_first():
    rows = [
        {"clip": "480p", "size": [480, 854], "frames": 60, "command": 4.0, "page": 0.5},
        {
            "clip": "long",
            "size": [180, 320],
            "frames": 10,
            "command": 4.6,
            "page": 0.3,
            "server": 900.0,
            "plain": 700.0,
        },
        {"clip": "4K", "size": [2160, 3840], "frames": 9, "command": 3.0, "page": 0.7, "server": 800.0, "plain": 900.0},
    ]
    table = [line.split() for line in browser.format_open(rows).splitlines()]
    assert [row[6] for row in table[2:5]] == ["0.500", "0.900", "0.700"]
    assert [row[9] for row in table[2:5]] == ["-", "200", "-100"]


def test_processor_time_of_this_process_and_of_chromium_below_it():
    before = chromium.spent(os.getpid())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    assert chromium.spent(os.getpid()) - before >= 0.15
    assert chromium.spent() == 0.0


def test_the_masks_of_a_folder_are_counted(tmp_path):
    assert browser.written(tmp_path) == 0
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "00000.png").touch()
    assert browser.written(tmp_path) == 1
