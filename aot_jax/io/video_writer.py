"""Write videos with PyAV: H.264 in MP4, or formats with alpha for video editors."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from aot_jax.io.files import atomic_write
from aot_jax.io.sound import Sound

BT709 = 1  # H.264 code of the primaries, transfer function and matrix of HD video
MIN_TICKS = 10_000  # fewest clock ticks a second, so that variable frame times are exact to 0.1 ms


@dataclass(frozen=True)
class Encoding:
    """A codec with its container and options."""

    codec: str
    container: str
    pixels: str  # FFmpeg pixel format; one with alpha takes frames (h, w, 4)
    options: Mapping[str, str]
    container_options: Mapping[str, str] = field(default_factory=dict)


# No B-frames: their reordering would change the duration that MP4 states.
H264 = Encoding("libx264", "mp4", "yuv420p", {"crf": "18", "bf": "0"}, {"movflags": "faststart"})
# No alternate reference frames: libvpx cannot encode them with alpha.
VP9_OPTIONS = {"crf": "18", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"}
VP9_ALPHA = Encoding("libvpx-vp9", "webm", "yuva420p", VP9_OPTIONS)
PRORES_ALPHA = Encoding("prores_ks", "mov", "yuva444p10le", {"profile": "4444"}, {"movflags": "faststart"})


class VideoWriter:
    """Context manager that writes frames to a video file, atomically.

    Args:
        path: file to write; its folder is made.
        fps: frames a second.
        pixel_aspect: width : height of a pixel.
        sound: sound to add, which may be longer than the video; MP4 only.
        encoding: codec and container.

    Raises:
        OSError: the file cannot be written.
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
        self._stack = ExitStack()
        self._container: av.container.OutputContainer  # from the first frame on
        self._stream: av.VideoStream | None = None
        # A multiple of the numerator, so that a constant rate is exact.
        self._ticks = self._rate.numerator * math.ceil(MIN_TICKS / self._rate.numerator)
        self._last = 0  # presentation time of the last frame, in ticks
        self._end = Fraction(0)  # end time of the last frame, in seconds

    def write(self, frame: np.ndarray, time: Fraction | None = None, duration: Fraction | None = None) -> None:
        """Write a frame; all frames have one size. Odd sizes are padded by repeating the edge.

        Args:
            frame: (h, w, 3) uint8 RGB, or (h, w, 4) with alpha.
            time: presentation time in seconds, after that of the previous frame; None: the previous frame's end.
            duration: seconds that the frame is shown if it is the last; None: 1 / fps.
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
        temporary = self._stack.enter_context(atomic_write(self._path)).absolute()
        options = dict(self._encoding.container_options)
        self._container = av.open(str(temporary), "w", format=self._encoding.container, options=options)
        self._stack.callback(self._container.close)
        self._stack.push(self._finish)
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
            if packet.pts == self._last:  # others last until the next frame
                packet.duration = round(self._end * self._ticks) - self._last
            self._container.mux(packet)

    def __enter__(self) -> "VideoWriter":
        if self._sound is not None:
            self._stack.callback(self._sound.close)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._stack.__exit__(*raised)

    def _finish(self, kind: type | None, *_: object) -> None:
        """Write what the encoder and the sound still hold, unless an exception was raised."""
        if kind is None and self._stream is not None:
            self._mux(self._stream.encode())
            if self._sound is not None:
                self._sound.mux_until(None, self._container)
