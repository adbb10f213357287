"""Random access to the frames of a video, as JPEGs, without holding the video in memory."""

import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator

import cv2
import numpy as np
from av.container import InputContainer

from aot_jax.io.frames import FrameError
from aot_jax.io.sources import Source
from aot_jax.io.video_index import packet_index
from aot_jax.io.video_reader import Frame, VideoReader
from aot_jax.io.video_stream import open_video

KEPT = 64  # most JPEGs in the cache
QUALITY = 90  # JPEG quality, 0 to 100
NEAR = 12  # most frames to skip by reading on, which is faster than seeking


class Frames:
    """Thread-safe access to frames by number.

    Args:
        source: the video.
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
        self._jpegs: OrderedDict[int, bytes] = OrderedDict()

    @property
    def count(self) -> int:
        """Return the number of frames, or the best estimate."""
        if self._index is not None:
            return len(self._index)
        return self._source.count or self._source.expected or 1

    def jpeg(self, index: int) -> bytes:
        """Return a frame as a JPEG.

        Raises:
            FrameError: there is no such frame, or it cannot be read.
        """
        with self._lock:
            if index in self._jpegs:
                self._jpegs.move_to_end(index)
                return self._jpegs[index]
            pixels = self._pixels(index)
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        with self._lock:
            self._jpegs[index] = data.tobytes()
            while len(self._jpegs) > KEPT:
                self._jpegs.popitem(last=False)
            return self._jpegs[index]

    def pixels(self, index: int) -> np.ndarray:
        """Return a frame, (h, w, 3) uint8 RGB; raises as `jpeg` does."""
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

    def _pixels(self, index: int) -> np.ndarray:
        if self._reading is None or not self._next <= index <= self._next + NEAR:
            if self._index is not None and not 0 <= index < len(self._index):
                raise FrameError(f"{self._source.name} has no frame {index}")
            if isinstance(self._reading, Generator):
                self._reading.close()
            self._reading, self._next = self.from_frame(index, self._opened), index
        for frame in self._reading:
            self._next = frame.index + 1
            if frame.index == index:
                return frame.pixels
        self._reading = None
        raise FrameError(f"{self._source.name} has no frame {index}")
