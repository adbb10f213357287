"""Videos as files: written as H.264 in MP4, through PyAV. Called by training's last picture and by `track.py`."""

import uuid
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


class VideoWriter:
    """A context that writes frames to an MP4. The file appears under its name only when it is whole.

    Args:
        path: of the file; its folder is made.
        fps: frames a second.

    Raises:
        OSError: if the file cannot be written.
    """

    def __init__(self, path: str | Path, fps: float | Fraction) -> None:
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(100_000)
        self._temporary = self._path.with_name(f".{self._path.stem}.{uuid.uuid4().hex}{self._path.suffix}")
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None

    def write(self, frame: np.ndarray) -> None:
        """Add a frame (h, w, 3) uint8 RGB; all have one size. Odd sizes lose nothing: their edge is repeated."""
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._container.add_stream("libx264", rate=self._rate, options={"crf": "18"})
            self._stream.pix_fmt = "yuv420p"
            self._stream.height, self._stream.width = frame.shape[:2]
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")):
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._temporary), "w", format="mp4")
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                for packet in self._stream.encode():
                    self._container.mux(packet)
            self._container.close()
            if kind is None and self._stream is not None:
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
