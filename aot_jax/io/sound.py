"""Copy the sound of a video into an MP4; codecs that MP4 cannot hold are re-encoded as AAC."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av

from aot_jax.io.video_stream import exact, open_video

HELD_BY_MP4 = {"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"}  # codecs whose packets are copied
PRIMING = Fraction(1, 10)  # longest encoder delay before time 0, which players skip, in seconds


class Sound:
    """The sound of a video file, muxed packet by packet.

    Broken sound never stops the video: it causes one warning, and the rest of the sound is left out.

    Args:
        path: the video file.
        start: time in the file, in seconds, that becomes 0.
        warn: called with the warning.
    """

    def __init__(self, path: str | Path, start: Fraction, warn: Callable[[str], None] = lambda _: None) -> None:
        self._path = path
        self._start = start
        self._warn = warn
        self._input: av.container.InputContainer | None = None
        self._packets: Iterator[tuple[Fraction, av.Packet]] = iter(())
        self._next: tuple[Fraction, av.Packet] | None = None

    def attach(self, output: av.container.OutputContainer) -> None:
        """Add a sound stream to a container; call this before its header is written."""
        try:
            self._input = open_video(self._path)
            if not self._input.streams.audio:
                return
            source = self._input.streams.audio[0]
            if source.codec_context.codec.canonical_name in HELD_BY_MP4:
                self._packets = self._copied(self._input, source, output.add_stream_from_template(source))
            else:
                self._packets = self._encoded(
                    self._input, source, output.add_stream("aac", rate=source.codec_context.sample_rate)
                )
        except Exception as reason:
            self._leave_out(reason)

    def mux_until(self, time: Fraction | None, output: av.container.OutputContainer) -> None:
        """Write the sound that starts before `time`, in seconds; None: all the rest."""
        while True:
            try:
                self._next = self._next or next(self._packets, None)
                if self._next is None or (time is not None and self._next[0] >= time):
                    return
                packet, self._next = self._next[1], None
                output.mux(packet)
            except OSError:
                raise  # the output cannot be written; the sound is not the cause
            except Exception as reason:
                self._leave_out(reason)
                return

    def close(self) -> None:
        """Close the input file."""
        self._packets, self._next = iter(()), None
        if self._input is not None:
            self._input.close()
            self._input = None

    def _copied(
        self, container: av.container.InputContainer, source: av.AudioStream, target: av.AudioStream
    ) -> Iterator[tuple[Fraction, av.Packet]]:
        base = exact(source.time_base)
        shift = round(self._start / base)
        for packet in container.demux(source):
            if packet.dts is None or packet.pts is None:
                continue
            packet.pts -= shift
            packet.dts -= shift
            time = packet.pts * base
            if time >= -PRIMING:
                packet.stream = target
                yield time, packet

    def _encoded(
        self, container: av.container.InputContainer, source: av.AudioStream, target: av.AudioStream
    ) -> Iterator[tuple[Fraction, av.Packet]]:
        target.layout = "mono" if source.codec_context.layout.nb_channels == 1 else "stereo"
        base = Fraction(1, source.codec_context.sample_rate)
        resampler = av.AudioResampler(format="fltp", layout=target.layout, rate=source.codec_context.sample_rate)
        for frame in container.decode(source):
            time = (frame.pts or 0) * exact(frame.time_base) - self._start
            if time < -PRIMING:
                continue
            for piece in resampler.resample(frame):
                piece.pts, piece.time_base = round(time / base), base
                time += piece.samples * base
                yield from self._timed(target.encode(piece))
        yield from self._timed(target.encode(None))

    @staticmethod
    def _timed(packets: list[av.Packet]) -> Iterator[tuple[Fraction, av.Packet]]:
        for packet in packets:
            yield (packet.pts or 0) * exact(packet.time_base), packet

    def _leave_out(self, reason: BaseException) -> None:
        self._packets, self._next = iter(()), None
        self._warn(f"{self._path}: its sound cannot be kept from here on ({reason}); the overlay is silent there")
