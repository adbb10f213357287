"""Read a video file frame by frame, upright, forward or backward, in bounded memory.

Frames are numbered in display order and have a presentation time, so that a variable frame rate needs no special case.
A truncated file, or one with broken packets, yields the frames that can be decoded and one warning.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace

from aot_jax.io.frames import FrameError
from aot_jax.io.images import check_pixels
from aot_jax.io.names import NumberedFrames, video_name
from aot_jax.io.video_stream import (
    average_rate,
    count_packets,
    decode,
    display_matrix,
    exact,
    frame_time,
    last_end,
    open_video,
    reason_text,
    stated_count,
    stated_end,
    upright,
    video_stream,
)
from aot_jax.typing import Size

UNSPECIFIED, HD = 2, 720  # H.264 code of an unspecified colour space; fewest lines for which it is taken as BT.709
BUFFER = 512 << 20  # most bytes of decoded frames in memory when reading backward
SHORT = Fraction(1, 20)  # largest share of the stated length that may be missing without a warning


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    index: int  # number from 0, in display order
    time: Fraction  # seconds after the first frame
    pixels: np.ndarray  # (h, w, 3) uint8 RGB, upright
    duration: Fraction | None = None  # seconds, if the file states it for this frame


class VideoReader(NumberedFrames):
    """The frames of a video file.

    Args:
        path: any container and codec that FFmpeg reads: mp4, mov, webm, mkv, avi, gif, ...
        warn: called with each warning, once.
        buffer: most bytes of decoded frames in memory when reading backward.

    Raises:
        FrameError: the file is missing, not a video, has no frame that can be decoded, or frames that are too large.
    """

    def __init__(self, path: str | Path, warn: Callable[[str], None] = lambda _: None, buffer: int = BUFFER) -> None:
        self.path = Path(path)
        self.name = video_name(self.path.stem)
        self._warn = warn
        self._warned: set[str] = set()
        self._buffer = buffer
        self._packets: int | None = None  # number of packets, once counted
        self._lost: list[str] = []  # reasons why packets could not be decoded in the last pass
        if not self.path.is_file():
            raise FrameError(f"{path}: no such file; check the path")
        try:
            with open_video(self.path) as container:
                stream = video_stream(container)
                self.rate = average_rate(stream)  # frames a second on average, Fraction
                self.count: int | None = None  # number of frames, known after the first pass
                self.expected = stated_count(container, stream, self.rate)
                self._stated_end = stated_end(container)
                self.pixel_aspect = exact(stream.sample_aspect_ratio) or Fraction(1)  # width : height of a pixel
                first = next(self._decode(container, stream), None)
        except FrameError:
            raise
        except Exception as reason:  # broken bytes make PyAV raise nearly anything
            raise FrameError(
                f"{path}: cannot be opened as a video ({reason_text(reason)}): it was cut off while it was recorded or "
                "copied, or it is a playlist, or of a kind that is not read. Copy it again, or convert it to mp4"
            ) from reason
        if first is None:
            raise FrameError(f"{path}: holds no frame that can be decoded; copy it again, or convert it to mp4")
        check_pixels(first.width, first.height, path, FrameError)
        self._coded = (first.height, first.width)
        self.start = frame_time(first) or Fraction(0)  # time of the first frame in the file, in seconds
        # Read once: PyAV keeps a frame whose side data was read until Python's cyclic garbage collector runs.
        self._matrix = display_matrix(first)
        lying = upright(np.zeros((1, 2, 1)), self._matrix).shape[0] == 2
        self.size: Size = self._coded[::-1] if lying else self._coded  # (h, w) of upright frames
        if lying:
            self.pixel_aspect = 1 / self.pixel_aspect

    def count_frames(self) -> int:
        """Return the number of frames, by reading the file; what its header states may be wrong."""
        if self.count is None and self._packets is None:
            self._packets = count_packets(self.path)
        return self.count or self._packets or 0

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from number `start` on."""
        count, last = 0, Fraction(0)
        with closing(self._shown()) as shown:
            for index, (frame, time) in enumerate(shown):
                count, last = index + 1, time
                if index >= start:
                    yield Frame(index, time, self._pixels(frame), self._duration(frame, time))
        self._check_length(count, last)

    def seek(
        self, start: int, index: Sequence[tuple[int, int]], container: av.container.InputContainer | None = None
    ) -> Generator[Frame, int | None, None]:
        """Yield the frames from number `start` on, decoding from the key frame before it.

        `send` skips to a later frame: those between are decoded only if others depend on them.

        Args:
            start: frame number.
            index: index from `video_index.packet_index`.
            container: the file, already open; reusing it makes the next seek faster. None: open the file.
        """
        numbers: dict[int | None, int] = {stamp: i for i, (stamp, _) in enumerate(index)}
        wanted = start

        def hidden(stamp: int) -> bool:
            return stamp < index[wanted][0]

        with open_video(self.path) if container is None else nullcontext(container) as container:
            stream = video_stream(container)
            container.seek(index[start][1], stream=stream)
            for frame in self._decode(container, stream, hidden):
                number = numbers.get(frame.pts)
                if number is not None and number >= wanted:
                    time = (frame_time(frame) or Fraction(0)) - self.start
                    wanted = (yield Frame(number, time, self._pixels(frame), self._duration(frame, time))) or wanted

    def backward(self, end: int) -> Iterator[Frame]:
        """Yield frames `end` - 1, ..., 0. Parts between key frames are decoded forward and buffered."""
        stamps, keys, times = self._index(end)
        stop = len(stamps)
        chunk = max(2, self._buffer // (2 * self._coded[0] * self._coded[1]))  # at 2 bytes a pixel, as decoded
        while stop > 0:
            key = max(k for k in keys if k < stop)
            start = max(key, stop - chunk)
            part = self._range(key, start, stop, stamps)
            for index in reversed(range(start, stop)):
                yield Frame(index, times[index], self._pixels(part.pop(index)))
            stop = start

    def _index(self, end: int) -> tuple[list[int | None], list[int], list[Fraction]]:
        """Return time stamps, key frame numbers and presentation times (seconds) of the first `end` frames."""
        stamps: list[int | None] = []
        keys, times = [0], []
        with closing(self._shown()) as shown:
            for frame, time in islice(shown, end):
                if frame.key_frame and stamps:
                    keys.append(len(stamps))
                stamps.append(frame.pts)
                times.append(time)
        return stamps, keys, times

    def _shown(self) -> Generator[tuple[av.VideoFrame, Fraction], None, None]:
        """Yield decoded frames with their strictly ascending presentation times, in seconds after the first."""
        last: Fraction | None = None
        with open_video(self.path) as container:
            for frame in self._decode(container, video_stream(container)):
                time = frame_time(frame)
                time = None if time is None else time - self.start
                if last is not None and (time is None or time <= last):
                    time = last + 1 / self.rate
                last = time or Fraction(0)
                yield frame, last

    def _range(self, key: int, start: int, stop: int, stamps: list[int | None]) -> dict[int, av.VideoFrame]:
        """Decode frames `start` .. `stop` - 1 from key frame `key` on; from the start of the file if seeking fails."""
        numbers = {stamp: i for i, stamp in enumerate(stamps)}
        can_seek = key and None not in numbers and len(numbers) == len(stamps)
        for begin in (stamps[key], None) if can_seek else (None,):  # None: the start of the file
            found = {}
            with open_video(self.path) as container, suppress(av.FFmpegError):
                stream = video_stream(container)
                if begin is not None:
                    container.seek(begin, stream=stream)
                for count, frame in enumerate(self._decode(container, stream)):
                    index = count if begin is None else numbers.get(frame.pts)
                    if index is not None and start <= index < stop and (begin is None or not frame.is_corrupt):
                        found[index] = frame
                    if index is None or index >= stop - 1:
                        break
            if len(found) == stop - start:
                return found
        raise FrameError(f"{self.path}: gave other frames when it was read again; if it has changed, start again")

    def _decode(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        hidden: Callable[[int], bool] | None = None,
    ) -> Iterator[av.VideoFrame]:
        self._lost = []
        return decode(container, stream, self._lost, hidden)

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        height, width = self._coded
        if (frame.height, frame.width) != self._coded:
            self._say(
                "size",
                f"{self.path}: frames change their size, from {width}x{height} to {frame.width}x{frame.height}; "
                f"all are scaled to {width}x{height}",
            )
        try:
            space = Colorspace.ITU709 if frame.colorspace == UNSPECIFIED and min(self._coded) >= HD else None
            pixels = frame.to_ndarray(format="rgb24", width=width, height=height, src_colorspace=space)
        except Exception as reason:
            raise FrameError(
                f"{self.path}: frames of format {frame.format.name} become no RGB ({reason_text(reason)}); "
                "convert it to mp4"
            ) from reason
        return np.ascontiguousarray(upright(pixels, self._matrix)).reshape(*self.size, 3)

    def _duration(self, frame: av.VideoFrame, time: Fraction) -> Fraction | None:
        """Return how long a frame is shown if it is the last, limited by the length of the file; None if not stated."""
        if not frame.duration or frame.time_base is None or self._stated_end is None:
            return None
        # If frames are stored out of order, the stated duration is the time until the next stored one.
        duration = min(frame.duration * exact(frame.time_base), self._stated_end - self.start - time)
        return duration if duration > 0 else None

    def _check_length(self, count: int, last: Fraction) -> None:
        """Warn once if frames are missing at the end or in between."""
        reason = f" ({self._lost[-1]})" if self._lost else ""
        stated = (self._stated_end or Fraction(0)) * (1 - SHORT) - 1 / self.rate
        if self.start + last < stated and last_end(self.path) < stated:
            self._say(
                "missing",
                f"{self.path}: breaks off at {float(last):.1f} s, after {count} frames{reason}, and says that it lasts "
                f"{float(self._stated_end or 0):.1f} s: unless that is wrong, it was cut off; these frames are used",
            )
        elif self._lost:
            self._say(
                "missing",
                f"{self.path}: {len(self._lost)} of its packets cannot be decoded{reason}; the other frames are used, "
                "numbered without those that are lost",
            )
        self.count = self.expected = count

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)
