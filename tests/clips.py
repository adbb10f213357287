"""Small video files for tests of reading, writing and tracking; each frame shows its number."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 44_100  # audio samples a second
TURNED = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # matrix by clockwise turn


def picture(number: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Draw frame `number` (h, w, 3) uint8: its brightness encodes the number, its upper left corner is red."""
    pixels = np.full((height, width, 3), 30 + 6 * (number % 36), np.uint8)
    pixels[: height // 2, : width // 2] = (220, 30, 30)
    return pixels


def number_of(pixels: np.ndarray) -> int:
    """Read the number that `picture` drew from its lower right quarter."""
    height, width = pixels.shape[:2]
    return round((pixels[height // 2 + 4 :, width // 2 + 4 :].mean() - 30) / 6)


def write_clip(
    path: Path,
    count: int = 12,
    size: tuple[int, int] = (32, 48),
    *,
    rate: Fraction = Fraction(24),
    times: list[float] | None = None,
    ticks: int = 12_000,
    key_every: int = 5,
    codec: str = "libx264",
    sound: str | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    sound_shift: float = 0.0,
) -> Path:
    """Write a video of `picture`s; `times` in seconds instead of a constant rate, `sound` names a codec."""
    quality = {"crf": "10"} if codec == "libx264" else {"crf": "10", "b": "0"}
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options={"g": str(key_every), **quality, **(options or {})})
        stream.pix_fmt, (stream.height, stream.width) = "yuv420p", size
        stream.codec_context.time_base = Fraction(1, ticks)
        tone = output.add_stream(sound, rate=48_000 if sound == "libopus" else RATE) if sound else None
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="rgb24")
            frame.time_base = Fraction(1, ticks)
            frame.pts = round((i / rate if times is None else Fraction(times[i])) * ticks)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if tone is not None:
            add_tone(output, tone, float(count / rate), sound_shift)
    return path


def add_tone(output, tone, seconds, shift):
    """Encode `seconds` of a sine from time `shift`, in seconds, on into a sound stream of an open container."""
    rate = tone.codec_context.sample_rate
    wave = (np.sin(np.arange(int(seconds * rate)) / 20) * 0.3).astype(np.float32)
    for begin in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(np.stack([wave[begin : begin + 1024]] * 2), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, begin + round(shift * rate)
        output.mux(tone.encode(frame))
    output.mux(tone.encode(None))


def turn(path: Path, clockwise: int = 0, mirror: bool = False) -> Path:
    """Write a display matrix into an MP4's or MOV's video track header, as a rotated phone does."""
    a, b, c, d = TURNED[clockwise]
    if mirror:
        a, b = -a, -b
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(
        ">9i", *(n << 16 for n in (a, b)), 0, *(n << 16 for n in (c, d)), 0, 0, 0, 1 << 30
    )
    path.write_bytes(data)
    return path


def sound_of(path: Path) -> tuple[str | None, list[bytes]]:
    """Return the codec of a file's sound and its packets."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None, []
        stream = container.streams.audio[0]
        return stream.codec_context.name, [bytes(packet) for packet in container.demux(stream) if packet.size]
