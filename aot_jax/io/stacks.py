"""Read image files with several pictures as videos: animated PNG and WebP, multi-page TIFF."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from PIL.ImageFile import ImageFile

from aot_jax.io.frames import FrameError, to_rgb
from aot_jax.io.images import IMAGES, count_pictures, open_image, upright
from aot_jax.io.names import NumberedFrames, video_name
from aot_jax.io.video_reader import Frame
from aot_jax.typing import Size

CHUNK = 32  # most pictures in memory when reading backward


def pictures_in(path: Path) -> int:
    """Count the pictures of an image file.

    Raises:
        FrameError: the file cannot be read.
    """
    with open_image(path, IMAGES, FrameError) as (image, _):
        return count_pictures(image)


class Stack(NumberedFrames):
    """The pictures of an image file as the frames of a video.

    Args:
        path: image file with several pictures of one size.
        rate: frames a second, if the file states none.
        warn: called with each warning.

    Raises:
        FrameError: the file cannot be read; while iterating: a picture cannot be read or has another size.
    """

    def __init__(self, path: Path, rate: Fraction, warn: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        self.name = video_name(path.stem)
        self.rate = rate
        self.pixel_aspect = Fraction(1)
        self.count: int | None = pictures_in(path)
        self.expected: int | None = self.count
        self._shift: int | None = None  # bits to shift 16-bit samples right
        with open_image(path, IMAGES, FrameError) as (image, _):
            image.load()
            self._duration = _duration(image)
            if image.mode.startswith("I"):
                bits = max(8, int(np.asarray(image).max()).bit_length())
                self._shift = min(bits, 16) - 8
                if bits < 16:
                    warn(f"{path}: its first picture uses {bits} of 16 bits: the upper 8 of these are taken")
            self.size: Size = self._pixels(image).shape[:2]
        if self._duration:
            self.rate = 1 / self._duration

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the pictures from number `start` on."""
        time = Fraction(0)
        with open_image(self.path, IMAGES, FrameError) as (image, _):
            for index in range(self.count or 0):
                image.seek(index)
                image.load()
                if index >= start:
                    pixels = self._pixels(image)
                    if pixels.shape[:2] != self.size:
                        (h, w), (height, width) = pixels.shape[:2], self.size
                        raise FrameError(
                            f"{self.path}: picture {index} is {w}x{h}, but the first one is {width}x{height} (width x "
                            "height): split the file, and scale them to one size"
                        )
                    yield Frame(index, time, pixels, _duration(image))
                time += _duration(image) or 1 / self.rate

    def backward(self, end: int) -> Iterator[Frame]:
        """Yield pictures `end` - 1, ..., 0."""
        stop = min(end, self.count or 0)
        while stop > 0:
            start = max(0, stop - CHUNK)
            yield from reversed(list(islice(self.frames(start), stop - start)))
            stop = start

    def _pixels(self, image: ImageFile) -> np.ndarray:
        return to_rgb(upright(image), self.path, 8 if self._shift is None else self._shift)


def _duration(image: ImageFile) -> Fraction | None:
    """Return how long a picture is shown, in seconds; None if the file does not say."""
    milliseconds = image.info.get("duration")
    return Fraction(milliseconds).limit_denominator(1000) / 1000 if milliseconds else None
