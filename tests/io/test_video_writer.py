"""Written videos keep rate, length, colours and sound of their source; an incomplete file never appears."""

from fractions import Fraction

import av
import clips
import numpy as np
import pytest

from aot_jax.io import sound
from aot_jax.io.sound import Sound
from aot_jax.io.video_reader import VideoReader
from aot_jax.io.video_writer import VideoWriter

FASTSTART = {"movflags": "faststart"}  # the index comes first, as in downloads


def numbers(frames):
    return [clips.number_of(frame.pixels) for frame in frames]


def test_times_of_a_variable_rate_are_kept(tmp_path):
    times = [0, 0.1, 0.15, 0.4, 1.0, 1.01]
    reader = VideoReader(clips.write_clip(tmp_path / "a.mp4", 6, times=times))
    with VideoWriter(tmp_path / "b.mp4", reader.rate) as writer:
        for frame in reader.frames():
            writer.write(frame.pixels, frame.time)
    found = list(VideoReader(tmp_path / "b.mp4").frames())
    np.testing.assert_allclose([float(frame.time) for frame in found], times, atol=1e-4)
    assert numbers(found) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(24000, 1001), Fraction(10)])
def test_a_constant_rate_is_kept_exactly(tmp_path, rate):
    with VideoWriter(tmp_path / "a.mp4", rate) as writer:
        for i in range(5):
            writer.write(clips.picture(i))
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == rate
        assert container.streams.video[0].frames == 5
    assert [frame.time for frame in VideoReader(tmp_path / "a.mp4").frames()] == [i / rate for i in range(5)]


def test_colours_survive(tmp_path):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :32], frame[:, 32:] = (200, 30, 40), (20, 60, 220)
    with VideoWriter(tmp_path / "a.mp4", 24) as writer:
        writer.write(frame)
    found = next(VideoReader(tmp_path / "a.mp4").frames()).pixels.astype(int)
    for x in (16, 48):
        assert np.abs(found[24, x] - frame[24, x]).max() <= 6


@pytest.mark.parametrize("size", [(1, 1), (33, 47)])
def test_odd_sizes_repeat_their_edge(tmp_path, size):
    with VideoWriter(tmp_path / "a.mp4", 24) as writer:
        writer.write(clips.picture(3, *size))
    frame = next(VideoReader(tmp_path / "a.mp4").frames()).pixels
    assert frame.shape[:2] == tuple(n + n % 2 for n in size)
    assert np.abs(frame[-1].astype(int) - frame[-2]).max() <= 4


def copy(source, target):
    warnings = []
    reader = VideoReader(source)
    with VideoWriter(target, reader.rate, sound=Sound(source, reader.start, warnings.append)) as writer:
        for frame in reader.frames():
            writer.write(frame.pixels, frame.time, frame.duration)
    return warnings


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.webm", "libopus"), ("a.mkv", "flac"), ("b.mp4", "mp3")]
)
def test_sound_is_copied_packet_by_packet(tmp_path, name, codec):
    video = {"codec": "libvpx-vp9"} if name == "a.webm" else {}
    if codec in ("flac", "mp3") and codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no encoder for {codec}")
    try:
        path = clips.write_clip(tmp_path / name, 24, sound=codec, **video)
    except (av.FFmpegError, ValueError):
        pytest.skip(f"this build of PyAV does not encode {codec}")
    assert copy(path, tmp_path / "copy.mp4") == []
    before, after = clips.sound_of(path), clips.sound_of(tmp_path / "copy.mp4")
    assert before[0] == after[0]
    assert after[1] == before[1]


def test_sound_that_mp4_cannot_hold_becomes_aac(tmp_path):
    path = clips.write_clip(tmp_path / "a.mov", 24, sound="pcm_s16le")
    assert copy(path, tmp_path / "copy.mp4") == []
    assert clips.sound_of(tmp_path / "copy.mp4")[0] == "aac"
    with av.open(str(tmp_path / "copy.mp4")) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    wave = np.sin(np.arange(44_100) / 20) * 0.3
    assert len(heard) == pytest.approx(44_100, abs=2200)
    part = heard[10_000:12_000]
    assert max(part @ wave[at : at + 2000] for at in range(8_000, 13_000, 7)) > 0.95 * (part @ part)


def test_silence_stays_silent(tmp_path):
    copy(clips.write_clip(tmp_path / "b.mp4"), tmp_path / "silent.mp4")
    assert clips.sound_of(tmp_path / "silent.mp4") == (None, [])


def lengths(path):
    """Return the stated durations of a file and its video stream, and the times of its frames, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stated = container.duration / 1e6, float(stream.duration * stream.time_base)
        return stated, [float(frame.time) for frame in container.decode(stream)]


@pytest.mark.parametrize("options", [{"bf": "0"}, {"x264-params": "bframes=2:b-adapt=0"}])
@pytest.mark.parametrize(
    "times", [[0, 0.02, 0.04, 0.06, 0.08, 3, 6], [0, 1, 2, 3, 20, 40], [0, 0.5, 0.55, 0.6], [i / 24 for i in range(9)]]
)
def test_a_copy_of_any_rate_lasts_as_long_as_its_source(tmp_path, times, options):
    path = clips.write_clip(tmp_path / "a.mp4", len(times), times=times, options=options)
    copy(path, tmp_path / "copy.mp4")
    stated, shown = lengths(tmp_path / "copy.mp4")
    np.testing.assert_allclose(shown, times, atol=1e-3)
    # A file with reordered frames does not state the duration of its last frame.
    np.testing.assert_allclose(stated, times[-1] + 1 / 24, atol=0.01 if "bf" in options else 1)


@pytest.mark.parametrize("name", ["a.mp4", "a.gif"])
def test_the_last_picture_is_held_as_long_as_in_the_source(tmp_path, name):
    write_held(tmp_path / name, [0, 4, 8], 30)
    copy(tmp_path / name, tmp_path / "copy.mp4")
    stated, shown = lengths(tmp_path / "copy.mp4")
    np.testing.assert_allclose(shown, [0, 0.4, 0.8], atol=1e-3)
    np.testing.assert_allclose(stated, 3.8, atol=0.01)


def write_held(path, pts, last):
    """Write frames every 0.1 s, the last of which is shown longer."""
    gif = path.suffix == ".gif"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("gif" if gif else "mpeg4", rate=10)
        stream.pix_fmt, stream.height, stream.width = "rgb8" if gif else "yuv420p", 32, 48
        stream.codec_context.time_base = Fraction(1, 10)
        packets = []
        for i, at in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(clips.picture(i), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        packets[-1].duration = last
        output.mux(packets)


def test_sound_goes_on_while_the_last_picture_is_held(tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 48, times=[i / 100 for i in range(48)], sound="aac")
    warnings = []
    list(VideoReader(path, warnings.append).frames())
    assert copy(path, tmp_path / "copy.mp4") == warnings == []  # a video shorter than its sound is not truncated
    assert clips.sound_of(tmp_path / "copy.mp4")[1] == clips.sound_of(path)[1]
    assert lengths(tmp_path / "copy.mp4")[0][0] == pytest.approx(2, abs=0.05)


def test_trouble_with_sound_costs_no_picture(tmp_path, monkeypatch):
    path = clips.write_clip(tmp_path / "a.mp4", sound="aac")

    class Broken:
        def __init__(self, path):
            self.container = av.open(str(path))
            self.streams, self.close = self.container.streams, self.container.close

        def demux(self, _):
            raise av.error.InvalidDataError(1, "bad sound")

    monkeypatch.setattr(sound, "open_video", Broken)
    warnings = copy(path, tmp_path / "b.mp4")
    assert len(warnings) == 1
    assert "its sound cannot be kept" in warnings[0]
    assert numbers(VideoReader(tmp_path / "b.mp4").frames()) == list(range(12))


def test_a_file_that_is_not_whole_does_not_appear(tmp_path):
    def fail():
        with VideoWriter(tmp_path / "a.mp4", 24) as writer:
            writer.write(clips.picture(0))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with VideoWriter(tmp_path / "none.mp4", 24):
        pass
    assert list(tmp_path.iterdir()) == []
