"""Frames of the page by number: each is the right one in any order, with no more decoding than needed."""

import clips
import numpy as np
import pytest

from aot_jax.browser.frames import NEAR, Frames
from aot_jax.io.frames import FrameError, write_jpeg
from aot_jax.io.sources import open_source

COUNT = 80


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return clips.write_clip(
        tmp_path_factory.mktemp("video") / "a.mp4", COUNT, key_every=40, options={"bf": "3", "sc_threshold": "0"}
    )


@pytest.fixture
def frames(path, monkeypatch):
    """Return the frames, and in `started` where they were read anew."""
    from_frame = Frames.from_frame

    def watched(self, start, container=None):
        self.started.append(start)
        return from_frame(self, start, container)

    monkeypatch.setattr(Frames, "from_frame", watched)
    frames = Frames(open_source([path]))
    frames.started = []
    return frames


def test_every_frame_is_the_right_one_in_any_order(frames, path):
    expected = [frame.pixels for frame in open_source([path]).frames()]
    assert frames.count == len(expected) == COUNT
    for index in [*np.random.default_rng(0).permutation(COUNT), *range(0, COUNT, 7), *range(COUNT)]:
        np.testing.assert_array_equal(frames.pixels(int(index)), expected[index])


def test_a_later_frame_is_read_on_to_and_an_earlier_one_sought(frames):
    for index in (3, 4, 30, 39, 39 + NEAR, 79, 50, 10, 60):
        frames.pixels(index)
    assert frames.started == [3, 50, 10, 60]


def test_a_frame_that_is_not_there_is_an_error_and_the_others_still_come(frames):
    for index in (-1, COUNT):
        with pytest.raises(FrameError, match=f"a has no frame {index}"):
            frames.pixels(index)
    assert clips.number_of(frames.pixels(30)) == 30


def test_an_image_is_read_without_those_before_it(tmp_path, monkeypatch):
    for t in range(9):
        write_jpeg(tmp_path / f"{t}.jpg", clips.picture(t))
    source, read = open_source([tmp_path]), []
    frame_of = source._frame
    monkeypatch.setattr(source, "_frame", lambda index: read.append(index) or frame_of(index))
    frames = Frames(source)
    assert [clips.number_of(frames.pixels(index)) for index in (0, 1, 5, 2)] == [0, 1, 5, 2]
    assert read == [0, 1, 5, 2]
