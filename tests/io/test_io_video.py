"""Frames of video files in both directions, upright and in order; truncated files, wrong headers, other files."""

import itertools
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aot_jax.io import video_reader
from aot_jax.io.frames import FrameError
from aot_jax.io.sources import open_source
from aot_jax.io.video_index import packet_index
from aot_jax.io.video_reader import VideoReader
from aot_jax.io.video_stream import open_video, upright
from aot_jax.io.video_writer import VideoWriter

FASTSTART = {"movflags": "faststart"}  # the index comes first, as in downloads


def numbers(frames):
    return [clips.number_of(frame.pixels) for frame in frames]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mov", {"sound": "pcm_s16le"}),
        ("a.webm", {"codec": "libvpx-vp9", "sound": "libopus"}),
        ("a.mkv", {"key_every": 100}),
        ("open.mp4", {"options": {"x264-params": "open-gop=1:bframes=3:b-adapt=0"}}),
        ("a.avi", {"options": {"bf": "0"}, "ticks": 24}),
    ],
)
def test_frames_forward_and_backward(tmp_path, name, options):
    reader = VideoReader(clips.write_clip(tmp_path / name, **options), buffer=48 * 32 * 2 * 3)  # three frames
    assert (reader.size, reader.name) == ((32, 48), Path(name).stem)
    frames = list(reader.frames())
    assert numbers(frames) == [frame.index for frame in frames] == list(range(12))
    np.testing.assert_allclose([float(frame.time) for frame in frames], np.arange(12) / 24, atol=1e-3)
    backward = list(reader.backward(12))
    assert [frame.index for frame in backward] == list(range(11, -1, -1))
    for frame, again in zip(frames, reversed(backward), strict=True):
        assert frame.time == again.time
        np.testing.assert_array_equal(frame.pixels, again.pixels)
    assert numbers(reader.backward(7)) == [6, 5, 4, 3, 2, 1, 0]
    assert numbers(reader.frames(9)) == [9, 10, 11]
    assert list(reader.frames(12)) == list(reader.backward(0)) == []
    assert reader.count == 12
    index = packet_index(tmp_path / name)
    assert index is not None
    with open_video(tmp_path / name) as container:
        for start, given in [(0, None), *((i, container) for i in (11, 3, 0, 7, 6, 9, 1, 10, 4, 2, 8, 5))]:
            for frame, again in zip(frames[start:], reader.seek(start, index, given), strict=True):
                assert (frame.index, frame.time) == (again.index, again.time)
                np.testing.assert_array_equal(frame.pixels, again.pixels)
            assert next(reader.seek(start, index, given)).index == start  # left in the middle


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts", "a.avi"])
def test_a_seek_starts_at_the_last_key_frame(tmp_path, name):
    path = clips.write_clip(tmp_path / name, 24, options={"bf": "0" if name == "a.avi" else "2"})
    index = packet_index(path)
    with open_video(path) as container:
        keys = [packet.pts for packet in container.demux(video=0) if packet.is_keyframe and packet.size]
        assert len(keys) > 3
        for stamp, sought in index:
            container.seek(sought, stream=container.streams.video[0])
            assert next(container.demux(video=0)).pts == max(key for key in keys if key <= stamp)


def test_skipping_ahead_while_reading_gives_the_later_frame(tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 24, options={"bf": "2"})
    reading = VideoReader(path).seek(1, packet_index(path))
    assert next(reading).index == 1
    found = [reading.send(index) for index in (2, 9, 10, 23)]
    assert [frame.index for frame in found] == [clips.number_of(frame.pixels) for frame in found] == [2, 9, 10, 23]
    assert next(reading, None) is None


def test_going_backward_holds_no_more_than_its_buffer(tmp_path, monkeypatch):
    reader = VideoReader(clips.write_clip(tmp_path / "a.mp4", 24, key_every=100), buffer=48 * 32 * 2 * 4)
    opened = []

    def watched(path):
        opened.append(path)
        return open_video(path)

    monkeypatch.setattr(video_reader, "open_video", watched)
    assert numbers(reader.backward(24)) == list(range(23, -1, -1))
    assert len(opened) == 1 + 6  # for the list of key frames, and for each part of four frames


def test_going_backward_where_seeking_is_impossible(tmp_path):
    path = clips.write_clip(tmp_path / "a.h264")  # a bare stream, without time stamps
    with av.open(str(path)) as container:
        assert {frame.pts for frame in container.decode(video=0)} == {None}
    assert numbers(VideoReader(path).backward(12)) == list(range(11, -1, -1))


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_frames_come_upright(tmp_path, clockwise, mirror):
    path = clips.turn(clips.write_clip(tmp_path / "a.mp4", 2), clockwise, mirror)
    reader = VideoReader(path)
    frame = next(reader.frames()).pixels
    stored = clips.picture(0)
    shown = np.rot90(stored[:, ::-1] if mirror else stored, -clockwise // 90)
    assert reader.size == frame.shape[:2] == shown.shape[:2]
    assert np.abs(frame.astype(int) - shown).mean() < 12  # a wrong corner alone is off by some 20
    red = frame[..., 0].astype(int) - frame[..., 1] > 80
    np.testing.assert_array_equal(red[4:-4:4, 4:-4:4], (shown[..., 0] > 200)[4:-4:4, 4:-4:4])


def test_upright_follows_the_matrix_of_coordinates():
    pixels = np.arange(6).reshape(2, 3, 1)
    assert upright(pixels, None) is pixels
    assert upright(pixels, (0, 1, -1, 0))[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert upright(pixels, (0, -1, 1, 0))[..., 0].tolist() == [[2, 5], [1, 4], [0, 3]]
    assert upright(pixels, (-1, 0, 0, 1))[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]


def test_pixels_that_are_not_square_turn_with_the_frame(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 24, pixel_aspect=Fraction(4, 3)) as writer:
        writer.write(clips.picture(0))
    assert VideoReader(tmp_path / "a.mp4").pixel_aspect == Fraction(4, 3)
    assert VideoReader(clips.turn(tmp_path / "a.mp4", 90)).pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize(("size", "space"), [((64, 64), Colorspace.ITU601), ((720, 720), Colorspace.ITU709)])
def test_colours_that_a_file_does_not_name_are_those_of_its_size(tmp_path, size, space):
    frame = np.full((*size, 3), (200, 30, 40), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        stream.pix_fmt, (stream.height, stream.width) = "yuv420p", size
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p", dst_colorspace=space)
        output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    found = next(VideoReader(tmp_path / "a.mp4").frames()).pixels
    assert np.abs(found[32, 32].astype(int) - frame[0, 0]).max() <= 6


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_a_truncated_video_gives_the_frames_it_has_and_one_warning(tmp_path, name):
    codec = {"codec": "libvpx-vp9"} if name == "a.webm" else {"container": FASTSTART}
    path = clips.write_clip(tmp_path / name, 36, (64, 64), **codec)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    warnings = []
    reader = VideoReader(path, warnings.append)
    found = list(reader.frames())
    assert 5 < len(found) < 34
    assert numbers(found[:-4]) == list(range(len(found) - 4))
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    list(reader.frames())
    assert len(list(reader.backward(len(found)))) == len(found)
    assert len(warnings) == 1


def with_edit_list(path, hidden, shown):
    """Add an edit list that hides the first frames of an MP4 with 24 frames a second, as in a trimmed recording."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12
    length, begin = struct.unpack_from(">ii", data, entry)
    struct.pack_into(">ii", data, entry, length * shown // (hidden + shown), begin + 500 * hidden)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["fragments.mp4", "trimmed.mp4", "late.mkv", "variable.mkv", "late.ts", "plain.webm"])
def test_what_a_file_states_is_a_hint(tmp_path, kind):
    path, shown = tmp_path / kind, 36
    options = {
        "fragments.mp4": {"container": {"movflags": "frag_keyframe"}},
        "late.mkv": {"times": [5 + i / 24 for i in range(36)]},
        "late.ts": {"times": [50 + i / 24 for i in range(36)]},
        "variable.mkv": {"times": [i / 60 for i in range(34)] + [3, 6]},
        "plain.webm": {"codec": "libvpx-vp9"},
    }
    clips.write_clip(path, 36, **options.get(kind, {}))
    if kind == "trimmed.mp4":
        with_edit_list(path, 20, 16)
        shown = 16
    warnings = []
    reader = VideoReader(path, warnings.append)
    assert reader.count is None
    if kind in ("fragments.mp4", "trimmed.mp4", "late.mkv", "variable.mkv"):
        assert reader.expected != shown  # the case must have a wrong hint
    assert reader.count_frames() == shown
    assert numbers(reader.frames()) == list(range(36 - shown, 36))
    assert (warnings, reader.count, reader.expected) == ([], shown, shown)


def test_files_that_are_no_video_are_named(tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:400])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video")
    for name, finding in (
        ("cut.mp4", "cut off"),
        ("empty.mp4", "cannot be opened as a video"),
        ("text.mp4", "cannot be opened as a video"),
        ("none.mp4", "no such file"),
    ):
        with pytest.raises(FrameError, match=finding) as error:
            open_source([tmp_path / name])
        assert str(error.value).startswith(f"{tmp_path / name}: ")


def test_a_video_without_frames_or_pictures(tmp_path):
    silent = tmp_path / "sound.m4a"
    with av.open(str(silent), "w", format="mp4") as output:
        clips.add_tone(output, output.add_stream("aac", rate=44_100), 1.0, 0.0)
    with pytest.raises(FrameError, match="holds no video stream"):
        VideoReader(silent)
    with av.open(str(tmp_path / "none.mkv"), "w") as output:
        stream = output.add_stream("libx264", rate=24)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 32, 32
        output.start_encoding()
    with pytest.raises(FrameError, match=r"none\.mkv: (holds no frame|cannot be opened)"):
        VideoReader(tmp_path / "none.mkv")


WHOLE: dict[str, bytes] = {}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["a.mp4", "a.webm", "a.gif", "a.avi"]),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=6)), max_size=8),
    st.integers(1, 20_000),
)
def test_any_bytes_give_frames_or_a_frame_error(tmp_path, name, changes, length):
    if name not in WHOLE:
        options = {"a.webm": {"codec": "libvpx-vp9"}, "a.gif": {"codec": "gif"}}.get(name, {"sound": "aac"})
        WHOLE[name] = write_small(tmp_path / name, options)
    data = bytearray(WHOLE[name][: length + 8])
    for position, piece in changes:
        at = position % len(data)
        data[at : at + len(piece)] = piece
    path = tmp_path / f"fuzz_{os.getpid()}{Path(name).suffix}"
    path.write_bytes(data)
    warnings = []
    try:
        reader = VideoReader(path, warnings.append)
        frames = list(reader.frames())
        backward = list(reader.backward(len(frames)))
    except FrameError as refusal:
        frames, message = None, str(refusal)
    if frames is None:
        assert str(path) in message
        return
    assert len(backward) == len(frames) > 0
    assert {frame.pixels.shape for frame in frames} == {(*reader.size, 3)}
    assert all(a.time < b.time for a, b in itertools.pairwise(frames))
    assert len(warnings) == len(set(warnings))


def write_small(path, options):
    if path.suffix == ".gif":
        with av.open(str(path), "w") as output:
            stream = output.add_stream("gif", rate=10)
            stream.pix_fmt, stream.height, stream.width = "rgb8", 16, 24
            for i in range(4):
                output.mux(stream.encode(av.VideoFrame.from_ndarray(clips.picture(i, 16, 24), format="rgb24")))
            output.mux(stream.encode(None))
    else:
        clips.write_clip(path, 6, (16, 24), **options)
    return path.read_bytes()
