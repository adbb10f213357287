"""Random access to the frames of a video, as JPEGs, without holding the video in memory."""

import functools
import threading
from collections.abc import Generator, Iterator

import cv2
import numpy as np
from av.container import InputContainer

from aot_jax.io.frames import FrameError
from aot_jax.io.sources import ImageSource, Source
from aot_jax.io.video_index import packet_index
from aot_jax.io.video_reader import Frame, VideoReader
from aot_jax.io.video_stream import open_video

KEPT = 64  # most JPEGs in the cache
QUALITY = 90  # JPEG quality, 0 to 100
NEAR = 12  # most frames to skip by reading on into the next part between key frames, which is faster than seeking


class Frames:
    """Thread-safe access to frames by number.

    Args:
        source: the video.

    Attributes: `jpeg(index)` returns a frame as a JPEG, of the cache if it is there; it raises as `pixels` does.
    """

    def __init__(self, source: Source) -> None:
        # A separate reader, since tracking uses the source's at the same time.
        self._video = VideoReader(source.path) if isinstance(source, VideoReader) else None
        self._index = packet_index(source.path) if isinstance(source, VideoReader) else None
        # One decoder for all seeks: for 4K video, each holds hundreds of MiB, and is freed some time after its use.
        self._opened = open_video(source.path) if isinstance(source, VideoReader) and self._index else None
        self._source = source
        self._lock = threading.Lock()
        self._reading: Iterator[Frame] | None = None
        self._next = 0  # number of the frame that `_reading` yields next
        self.jpeg = functools.lru_cache(KEPT)(self._encode)

    @property
    def count(self) -> int:
        """Return the number of frames, or the best estimate."""
        if self._index is not None:
            return len(self._index)
        return self._source.count or self._source.expected or 1

    def pixels(self, index: int) -> np.ndarray:
        """Return a frame, (h, w, 3) uint8 RGB.

        Raises:
            FrameError: there is no such frame, or it cannot be read.
        """
        with self._lock:
            return self._pixels(index)

    def from_frame(self, start: int, container: InputContainer | None = None) -> Iterator[Frame]:
        """Yield frames `start`, `start` + 1, ...; seek to the key frame before if the file allows it.

        Args:
            start: frame number.
            container: as for `VideoReader.seek`.
        """
        if self._video is None:
            return self._source.frames(start)
        if self._index is None:
            return self._video.frames(start)
        if start >= len(self._index):
            return iter(())
        return self._video.seek(start, self._index, container)

    def _encode(self, index: int) -> bytes:
        colours = cv2.cvtColor(self.pixels(index), cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return data.tobytes()

    def _pixels(self, index: int) -> np.ndarray:
        if self._index is not None and not 0 <= index < len(self._index):
            raise FrameError(f"{self._source.name} has no frame {index}")
        if self._reading is not None and self._is_ahead(index):
            frame = self._skip_to(index, self._reading)
        else:
            if isinstance(self._reading, Generator):
                self._reading.close()
            self._reading = self.from_frame(index, self._opened)
            frame = next(self._reading, None)
        while frame is not None and frame.index < index:
            frame = next(self._reading, None)
        if frame is None or frame.index != index:
            self._reading = None
            raise FrameError(f"{self._source.name} has no frame {index}")
        self._next = index + 1
        return frame.pixels

    def _is_ahead(self, index: int) -> bool:
        """Tell whether reading on to a frame is faster than seeking."""
        if isinstance(self._source, ImageSource):
            return index == self._next
        near = self._next <= index <= self._next + NEAR
        return near or (
            self._index is not None and self._next < index and self._index[index][1] == self._index[self._next - 1][1]
        )

    @staticmethod
    def _skip_to(index: int, reading: Iterator[Frame]) -> Frame | None:
        try:
            return reading.send(index) if isinstance(reading, Generator) else next(reading)
        except StopIteration:
            return None
