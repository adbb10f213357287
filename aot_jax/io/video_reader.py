"""Read a video file frame by frame, upright, forward or backward, in bounded memory. Called by `sources.py`.

Frames are numbered in the order in which they are shown; each comes with its presentation time, so that a variable
frame rate is no special case. A file that breaks off, or holds packets that cannot be decoded, gives the frames that it
has and one warning.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from aot_jax.io.frames import MAX_PIXELS, FrameError
from aot_jax.typing import Size

BUFFER = 512 << 20  # bytes of decoded frames that are held while going backward
DEFAULT_RATE = Fraction(25)  # of a file that states none
MAX_RATE = 1000  # frames a second; more is a broken header
SHORT = 0.05  # of a file's stated frames may be missing before it is called truncated


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    index: int  # from 0, in the order of showing
    time: Fraction  # seconds after the first frame
    pixels: np.ndarray  # (h, w, 3) uint8 RGB, upright


class VideoReader:
    """A video file as frames.

    Args:
        path: any container and codec that FFmpeg reads: mp4, mov, webm, mkv, avi, gif, ...
        warn: called with each warning, once.
        buffer: bytes of decoded frames to hold while going backward.

    Raises:
        FrameError: no such file, not a video, no frame in it that can be decoded, or frames that are too large.
    """

    def __init__(self, path: str | Path, warn: Callable[[str], None] = lambda _: None, buffer: int = BUFFER) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self._warn = warn
        self._warned: set[str] = set()
        self._buffer = buffer
        if not self.path.is_file():
            raise FrameError(f"{path}: no such file; check the path")
        try:
            with self._open() as container:
                stream = _video_stream(container)
                self.rate = _rate(stream)  # frames a second on average, Fraction
                self.count = _count(container, stream, self.rate)  # as the file states it; None: it does not
                self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)  # width : height of a pixel
                first = next(self._decode(container, stream), None)
        except FrameError:
            raise
        except Exception as reason:  # broken bytes make PyAV raise nearly anything
            raise FrameError(
                f"{path}: cannot be opened as a video ({_text(reason)}); a recording or download that was cut off "
                "looks like this: copy it again, or convert it to mp4"
            ) from reason
        if first is None:
            raise FrameError(f"{path}: holds no frame that can be decoded; copy it again, or convert it to mp4")
        if first.width * first.height > MAX_PIXELS:
            raise FrameError(f"{path}: {first.width}x{first.height} is more than {MAX_PIXELS} pixels; scale it down")
        self._coded = (first.height, first.width)
        self.start = _time(first) or Fraction(0)  # seconds in the file's own time at which the first frame is shown
        turned = upright(np.zeros((first.height, first.width, 0)), _matrix(first))
        self.size: Size = turned.shape[:2]  # (h, w) of upright frames
        if self.size != self._coded and turned.shape[0] == first.width:
            self.pixel_aspect = 1 / self.pixel_aspect

    def label(self, index: int) -> str:
        """Return the name of a frame's mask, without suffix."""
        return f"{index:05d}"

    def index_of(self, label: str) -> int | None:
        """Return the number of the frame whose mask has this name; None: it is no number."""
        return int(label) if label.isascii() and label.isdecimal() and len(label) < 10 else None

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from number `start` on."""
        previous, count = None, 0
        with self._open() as container:
            stream = _video_stream(container)
            for index, frame in enumerate(self._decode(container, stream)):
                time = _time(frame)
                time = None if time is None else time - self.start
                if previous is not None and (time is None or time <= previous):
                    time = previous + 1 / self.rate
                previous = time or Fraction(0)
                count += 1
                if index >= start:
                    yield Frame(index, previous, self._pixels(frame))
        self._check_length(count, previous)

    def backward(self, end: int) -> Iterator[Frame]:
        """Yield frames `end` - 1, ..., 0. Runs between key frames are decoded forward and held, part by part."""
        stamps, keys, times = self._index(end)
        stop = len(stamps)
        frame_bytes = max(1, self._coded[0] * self._coded[1] * 2)
        chunk = max(2, self._buffer // frame_bytes)
        while stop > 0:
            key = max(k for k in keys if k < stop)
            start = max(key, stop - chunk)
            part = self._range(key, start, stop, stamps)
            for index in reversed(range(start, stop)):
                yield Frame(index, times[index], self._pixels(part.pop(index)))
            stop = start

    def _index(self, end: int) -> tuple[list[int | None], list[int], list[Fraction]]:
        """Return time stamps, numbers of key frames, and times of the first `end` frames."""
        stamps, keys, times = [], [0], []
        with self._open() as container:
            stream = _video_stream(container)
            for frame in self._decode(container, stream):
                if len(stamps) >= end:
                    break
                if frame.key_frame and stamps:
                    keys.append(len(stamps))
                time = _time(frame)
                time = None if time is None else time - self.start
                if times and (time is None or time <= times[-1]):
                    time = times[-1] + 1 / self.rate
                stamps.append(frame.pts)
                times.append(time or Fraction(0))
        return stamps, keys, times

    def _range(self, key: int, start: int, stop: int, stamps: list[int | None]) -> dict[int, av.VideoFrame]:
        """Decode frames `start` .. `stop` - 1 from key frame `key` on; from the file's start where seeking misses."""
        numbers = {stamp: i for i, stamp in enumerate(stamps)}
        if key and None not in numbers and len(numbers) == len(stamps):
            with self._open() as container:
                stream = _video_stream(container)
                found = {}
                try:
                    container.seek(stamps[key], stream=stream)
                    for frame in self._decode(container, stream):
                        index = numbers.get(frame.pts)
                        if index is not None and start <= index < stop and not frame.is_corrupt:
                            found[index] = frame
                        if index is None or index >= stop - 1:
                            break
                except av.FFmpegError:
                    found = {}
                if len(found) == stop - start:
                    return found
        found = {}
        with self._open() as container:
            stream = _video_stream(container)
            for index, frame in enumerate(self._decode(container, stream)):
                if index >= start:
                    found[index] = frame
                if index >= stop - 1:
                    break
        if len(found) != stop - start:
            raise FrameError(f"{self.path}: gave other frames when it was read again; has it changed?")
        return found

    def _open(self) -> av.container.InputContainer:
        # A playlist must not reach the network.
        return av.open(str(self.path), metadata_errors="ignore", options={"protocol_whitelist": "file"})

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        stream.thread_type = "AUTO"
        packets, broken, reason = container.demux(stream), 0, None
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except Exception as error:
                self._say("cut", f"{self.path}: cannot be read to its end ({_text(error)}); what was read is used")
                packet = None
            try:
                frames = stream.decode(packet)
            except Exception as error:
                broken, reason, frames = broken + 1, error, []
            yield from frames
            if packet is None:
                break
        if broken:
            self._say(
                "broken",
                f"{self.path}: {broken} of its packets cannot be decoded ({_text(reason)}); "
                "the other frames are used, numbered without those that are lost",
            )

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        height, width = self._coded
        if (frame.height, frame.width) != self._coded:
            self._say(
                "size",
                f"{self.path}: frames change their size, from {width}x{height} to {frame.width}x{frame.height}; "
                f"all are scaled to {width}x{height}",
            )
        try:
            pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
        except Exception as reason:
            raise FrameError(
                f"{self.path}: frames of format {frame.format.name} become no RGB ({_text(reason)})"
            ) from reason
        return np.ascontiguousarray(upright(pixels, _matrix(frame))).reshape(*self.size, 3)

    def _check_length(self, count: int, last: Fraction | None) -> None:
        if self.count and count < self.count * (1 - SHORT) - 1 and "cut" not in self._warned:
            end = float(last or 0)
            self._say(
                "short",
                f"{self.path}: breaks off at {end:.1f} s, after {count} of about {self.count} frames: "
                "it is truncated (or its sound is longer than its picture); these frames are used",
            )
        self.count = count

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)


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


def _matrix(frame: av.VideoFrame) -> tuple[int, int, int, int] | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    entries = np.frombuffer(bytes(data), np.int32)
    return tuple(int(entries[i]) for i in (0, 1, 3, 4)) if entries.size == 9 else None


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    # Cover pictures of songs are streams as well.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise FrameError(f"{container.name}: holds no video stream; give a video, or a folder of images")
    return streams[0]


def _rate(stream: av.VideoStream) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate and 0 < rate <= MAX_RATE else DEFAULT_RATE


def _count(container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction) -> int | None:
    if stream.frames:
        return stream.frames
    if stream.duration:
        return round(stream.duration * stream.time_base * rate)
    return round(container.duration * rate / 1_000_000) if container.duration and container.duration > 0 else None


def _time(frame: av.VideoFrame) -> Fraction | None:
    return None if frame.pts is None or frame.time_base is None else frame.pts * Fraction(frame.time_base)


def _text(reason: BaseException) -> str:
    return getattr(reason, "strerror", None) or str(reason).partition("\n")[0] or type(reason).__name__
