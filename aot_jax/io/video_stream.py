"""Open a video file, and what it says about its frames: which way is up, rate, length, times.

Files come from strangers: a playlist, whatever its name, must reach neither the network nor other files, and a header
must not claim all memory.
"""

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np

from aot_jax.io.frames import MAX_PIXELS, FrameError

DEFAULT_RATE = Fraction(25)  # of a file that states none
MAX_RATE = 1000  # frames a second; more is a broken header
# FFmpeg's readers of files that hold their pictures themselves. Others open what a file names (hls, concat, dash, sdp).
READERS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "obu", "ivf", "gif", "apng", "flv",
    "asf", "ogg", "mxf", "dv", "nut", "rm", "wtv", "mjpeg", "yuv4mpegpipe",
)  # fmt: skip
# Titles and comments need not be UTF-8; PyAV 19 and later never raise for them.
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
    """Open a file, and nothing that it names.

    Raises:
        av.FFmpegError: it is no video of a kind in `READERS`.
    """
    # Without a folder before it, "12:30.mp4" would be a protocol.
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(READERS)}
    return av.open(str(Path(path).absolute()), options=options, **LENIENT)


def upright(pixels: np.ndarray, matrix: tuple[int, int, int, int] | None) -> np.ndarray:
    """Turn and mirror stored pixels (h, w, c) as they are shown.

    Args:
        pixels: as stored.
        matrix: (a, b, c, d) of a display matrix, x' = a x + c y, y' = b x + d y with y downward; None: as stored.
            Angles between are taken for the nearest multiple of 90 degrees.
    """
    if matrix is None:
        return pixels
    a, b, c, d = matrix
    if abs(a) >= abs(b):
        return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return pixels.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    """Return (a, b, c, d) of a frame's display matrix, see `upright`; None: it has none."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    entries = np.frombuffer(bytes(data), np.int32)
    if entries.size != 9:
        return None
    a, b, c, d = entries[[0, 1, 3, 4]].tolist()
    return a, b, c, d


def video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the stream of moving pictures, before anything of it is decoded.

    Raises:
        FrameError: there is none, or its frames are too large.
    """
    # Cover pictures of songs are streams as well.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise FrameError(f"{container.name}: holds no video stream; give a video, or a folder of images")
    stream = streams[0]
    if stream.width * stream.height > MAX_PIXELS:
        raise FrameError(
            f"{container.name}: its frames of {stream.width}x{stream.height} are more than {MAX_PIXELS} pixels; "
            "scale the video down"
        )
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # for what the header does not say
    return stream


def average_rate(stream: av.VideoStream) -> Fraction:
    """Return frames a second."""
    rate = exact(stream.average_rate) or exact(stream.guessed_rate)
    return rate if 0 < rate <= MAX_RATE else DEFAULT_RATE


def stated_count(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> int | None:
    """Return how many frames the file says it has, or what follows from its length; None: neither is stated.

    It is a hint: files of fragments count the first one only, edited ones also what they hide.
    """
    if stream.frames:
        return stream.frames
    if stream.duration and stream.time_base:
        return round(stream.duration * exact(stream.time_base) * rate)
    return round(container.duration * rate / 1_000_000) if container.duration and container.duration > 0 else None


def stated_end(container: av.container.InputContainer) -> Fraction | None:
    """Return when the file says it ends, in seconds of its own time; None: it does not.

    It is a hint, and rather too early than too late: a length counts from 0 in some formats, from the start in others.
    """
    if not container.duration or container.duration < 0:
        return None
    return Fraction(container.duration + min(0, container.start_time or 0), 1_000_000)


def last_end(path: str | Path) -> Fraction:
    """Return the latest end of any packet of a file, of sound too, in seconds of its own time; nothing is decoded."""
    end = Fraction(0)
    with open_video(path) as container, contextlib.suppress(av.FFmpegError):
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * exact(packet.time_base))
    return end


def frame_time(frame: av.VideoFrame) -> Fraction | None:
    """Return when a frame is shown, in seconds of the file's own time; None: it is not said."""
    return None if frame.pts is None or frame.time_base is None else frame.pts * exact(frame.time_base)


def reason_text(reason: BaseException) -> str:
    """Return an error of PyAV in a few words."""
    return getattr(reason, "strerror", None) or str(reason).partition("\n")[0] or type(reason).__name__
