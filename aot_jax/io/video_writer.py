"""Write videos through PyAV: as H.264 in MP4, or with transparency for video editors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from aot_jax.io.files import beside
from aot_jax.io.sound import Sound

BT709 = 1  # as H.264 numbers it: primaries, transfer and matrix of HD video
MIN_TICKS = 10_000  # a second, so that times of a variable rate are kept to 0.1 ms


@dataclass(frozen=True)
class Encoding:
    """A codec and how it is used."""

    codec: str
    container: str
    pixels: str  # format; with alpha it takes frames (h, w, 4)
    options: Mapping[str, str]
    container_options: Mapping[str, str] = field(default_factory=dict)


# Without frames stored out of order, whose steps MP4 would take for the length of the video.
H264 = Encoding("libx264", "mp4", "yuv420p", {"crf": "18", "bf": "0"}, {"movflags": "faststart"})
# Frames that are not shown have no alpha.
VP9_OPTIONS = {"crf": "18", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
VP9_ALPHA = Encoding("libvpx-vp9", "webm", "yuva420p", VP9_OPTIONS)
PRORES_ALPHA = Encoding("prores_ks", "mov", "yuva444p10le", {"profile": "4444"}, {"movflags": "faststart"})


class VideoWriter:
    """A context that writes frames to a video file. The file appears under its name only when it is whole.

    Args:
        path: of the file; its folder is made.
        fps: frames a second.
        pixel_aspect: width : height of a pixel.
        sound: goes in beside the frames; it may be longer. For MP4.
        encoding: codec and container.

    Raises:
        OSError: if the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction,
        pixel_aspect: Fraction = Fraction(1),
        sound: Sound | None = None,
        encoding: Encoding = H264,
    ) -> None:
        self._encoding = encoding
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(100_000)
        self._pixel_aspect = pixel_aspect
        self._sound = sound
        self._temporary = beside(self._path)
        self._container: av.container.OutputContainer  # from __enter__ on
        self._stream: av.VideoStream | None = None
        # The numerator divides it, so that a constant rate is kept exactly.
        self._ticks = self._rate.numerator * math.ceil(MIN_TICKS / self._rate.numerator)
        self._last = 0  # ticks at which the last frame is shown
        self._end = Fraction(0)  # seconds at which it ends

    def write(self, frame: np.ndarray, time: Fraction | None = None, duration: Fraction | None = None) -> None:
        """Add a frame (h, w, 3) uint8 RGB, or (h, w, 4) with alpha; all have one size. Odd ones repeat their edge.

        Args:
            frame: pixels.
            time: seconds at which it is shown, later than the frame before; None: when that one ends.
            duration: seconds until it ends if it is the last one; None: 1 / fps.
        """
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        stream = self._stream = self._stream or self._begin(*frame.shape[:2])
        time = self._end if time is None else time
        stored = "rgba" if frame.shape[2] == 4 else "rgb24"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=stored).reformat(
            format=self._encoding.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.time_base = Fraction(1, self._ticks)
        picture.pts = round(time * self._ticks)
        self._last = picture.pts
        self._end = time + (duration or 1 / self._rate)
        self._mux(stream.encode(picture))
        if self._sound is not None:
            self._sound.mux_until(time, self._container)

    def _begin(self, height: int, width: int) -> av.VideoStream:
        stream = self._container.add_stream(self._encoding.codec, rate=self._rate, options=dict(self._encoding.options))
        assert isinstance(stream, av.VideoStream), "the codec is one of video"
        context = stream.codec_context
        context.time_base = Fraction(1, self._ticks)
        context.pix_fmt, context.height, context.width = self._encoding.pixels, height, width
        context.sample_aspect_ratio = self._pixel_aspect
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        if self._sound is not None:
            self._sound.attach(self._container)
        return stream

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if packet.pts == self._last:  # what follows says how long the others last
                packet.duration = round(self._end * self._ticks) - self._last
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(
            str(self._temporary.absolute()),
            "w",
            format=self._encoding.container,
            options=dict(self._encoding.container_options),
        )
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                self._mux(self._stream.encode())
                if self._sound is not None:
                    self._sound.mux_until(None, self._container)
            self._container.close()
            if kind is None and self._stream is not None:
                self._temporary.replace(self._path)
        finally:
            if self._sound is not None:
                self._sound.close()
            self._temporary.unlink(missing_ok=True)
