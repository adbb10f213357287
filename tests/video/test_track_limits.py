"""Warnings of track.py about memory and disk space."""

from types import SimpleNamespace

import tiny

from aot_jax.video import limits


def test_large_frames_are_told_what_they_take():
    needed = limits.memory_needed(tiny.load("aost"), (2160, 3840), (2160, 3840), 2, 12, 300, 50)[0]
    small = limits.memory_needed(tiny.load("aost"), (480, 854), (480, 854), 2, 12, 300, 50)[0]
    assert small < needed < 8 * limits.GIB
    many = limits.memory_needed(tiny.load("aost"), (480, 854), (480, 854), 2, 12, 300_000, 0)[0]
    assert many > 20 * small
    text = limits.memory_warning(needed, 64 * limits.GIB, (2160, 3840), (2160, 3840), 50)
    assert text.startswith("frames of 3840x2160 need about ")
    assert text.endswith("64.0 GiB are free: consider --output_height 1080 for smaller masks")
    assert limits.memory_warning(small, 64 * limits.GIB, (480, 854), (480, 854), 50) is None
    for given, told in ((50, "--max_frames below 50"), (0, "a limit, such as --max_frames 50")):
        assert told in limits.memory_warning(needed, needed // 2, (480, 854), (480, 854), given)
    assert "--max_frames" not in limits.memory_warning(needed, needed // 2, (480, 854), (480, 854), 1)


def test_a_disk_that_will_not_do_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda _: SimpleNamespace(free=limits.GIB))
    assert limits.disk_warning(tmp_path, (480, 854), 100, True, 0, 0) is None
    text = limits.disk_warning(tmp_path, (2160, 3840), 10_000, True, 1, 0)
    assert text.startswith(f"{tmp_path} has 1,024 MiB free, but the results may need ")
    _, state = limits.memory_needed(
        tiny.load("aost", "inference.max_long_edge=0"), *[(480, 854)] * 2, 3, 12, 10_000, 50
    )
    assert state == 2 * 3 * 2 * 31 * 54 * 64 * 32 * 4  # groups, layers, keys and values, grid, slots, channels, bytes
    assert limits.disk_warning(tmp_path, (1, 1), 1, False, 0, limits.GIB // 2).endswith("choose another --output")
