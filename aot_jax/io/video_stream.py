"""Open a video file, decode it, and read its metadata: orientation, frame rate, length, times.

Files are untrusted input: a playlist, whatever its name, must not open network addresses or other files, and a header
must not make the reader allocate unbounded memory.
"""

import contextlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from aot_jax.io.frames import FrameError
from aot_jax.io.images import MAX_PIXELS, check_pixels

DEFAULT_RATE = Fraction(25)  # frames a second of a file that states no rate
MAX_RATE = 1000  # largest plausible rate in frames a second; a broken header states more
# FFmpeg demuxers of self-contained files. Others open files or addresses named in the file (hls, concat, dash, sdp).
READERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "obu", "ivf", "gif", "apng", "flv",
    "asf", "ogg", "mxf", "dv", "nut", "rm", "wtv", "mjpeg", "yuv4mpegpipe",
)  # fmt: skip
# Options for PyAV before 19, which raises for titles and comments that are not UTF-8.
LENIENT: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


class Ratio(Protocol):
    """A rational number of PyAV: a Fraction before version 19, a type of its own since."""

    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


def exact(value: Ratio | None) -> Fraction:
    """Return a rational number of PyAV as a Fraction; 0 for None."""
    return Fraction(value.numerator, value.denominator) if value is not None and value.denominator else Fraction(0)


def open_video(path: str | Path) -> av.container.InputContainer:
    """Open a video file, without following references in it.

    Raises:
        av.FFmpegError: the file is not a video in one of the formats of `READERS`.
    """
    # Absolute, since "12:30.mp4" alone would be parsed as a protocol.
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(READERS)}
    return av.open(str(Path(path).absolute()), options=options, **LENIENT)


def upright(pixels: np.ndarray, matrix: tuple[int, int, int, int] | None) -> np.ndarray:
    """Rotate and mirror stored pixels (h, w, c) for display.

    Args:
        pixels: pixels as stored.
        matrix: (a, b, c, d) of a display matrix, x' = a x + c y, y' = b x + d y with y downward; None: unchanged.
            Angles are rounded to a multiple of 90 degrees.
    """
    if matrix is None:
        return pixels
    a, b, c, d = matrix
    if abs(a) >= abs(b):
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return pixels.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    """Return (a, b, c, d) of a frame's display matrix, see `upright`; None if it has none."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    entries = np.frombuffer(bytes(data), np.int32)
    if entries.size != 9:
        return None
    a, b, c, d = entries[[0, 1, 3, 4]].tolist()
    return a, b, c, d


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the video stream of an opened file and limit its frame size.

    Raises:
        FrameError: there is no such stream, or its frames are too large.
    """
    # Cover art of music files is a video stream too.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise FrameError(f"{container.name}: holds no video stream; give a video, or a folder of images")
    stream = streams[0]
    check_pixels(stream.width, stream.height, container.name, FrameError)
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # for frames larger than the header states
    return stream


def decode(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    lost: list[str],
    hidden: Callable[[int], bool] | None = None,
) -> Iterator[av.VideoFrame]:
    """Yield the frames that can be decoded, from where the file stands.

    Args:
        container: the file.
        stream: its video stream.
        lost: list to which the reason is added for each packet that cannot be decoded.
        hidden: tells by time stamp which frames are needed only if others depend on them; None: none.
    """
    if not stream.codec_context.is_open:
        stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except Exception as error:
            lost.append(reason_text(error))
            packet = None  # flushes frames that the decoder still holds
        try:
            if hidden is not None and packet is not None and packet.pts is not None:
                stream.codec_context.skip_frame = "NONREF" if hidden(packet.pts) else "DEFAULT"
            frames = stream.decode(packet)
        except Exception as error:
            lost.append(reason_text(error))
            frames = []
        yield from frames
        if packet is None:
            break


def average_rate(stream: av.VideoStream) -> Fraction:
    """Return the average frame rate, in frames a second."""
    rate = exact(stream.average_rate) or exact(stream.guessed_rate)
    return rate if 0 < rate <= MAX_RATE else DEFAULT_RATE


def stated_count(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> int | None:
    """Return the stated number of frames, or an estimate from the stated length; None if neither is stated.

    It may be wrong: fragmented files count the first fragment only, files with edit lists count hidden frames.
    """
    if stream.frames:
        return stream.frames
    if stream.duration and stream.time_base:
        return round(stream.duration * exact(stream.time_base) * rate)
    return round(container.duration * rate / 1_000_000) if container.duration and container.duration > 0 else None


def stated_end(container: av.container.InputContainer) -> Fraction | None:
    """Return the stated end time of the file, in seconds; None if it states none.

    It may be too early: some formats count the length from 0, others from the first frame.
    """
    if not container.duration or container.duration < 0:
        return None
    return Fraction(container.duration + min(0, container.start_time or 0), 1_000_000)


def last_end(path: str | Path) -> Fraction:
    """Return the latest end time of any packet of a file, including sound, in seconds, without decoding."""
    end = Fraction(0)
    with open_video(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * exact(packet.time_base))
    return end


def count_packets(path: str | Path) -> int:
    """Count the packets of frames that are shown, without decoding: the number of frames, unless some are broken."""
    count = 0
    with open_video(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux(video_stream(container)):
            count += bool(packet.size) and not packet.is_discard
    return count


def frame_time(frame: av.VideoFrame) -> Fraction | None:
    """Return the presentation time of a frame in the file, in seconds; None if it has none."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * exact(frame.time_base)


def reason_text(reason: BaseException) -> str:
    """Return a short message for an error of PyAV."""
    return getattr(reason, "strerror", None) or str(reason).partition("\n")[0] or type(reason).__name__
