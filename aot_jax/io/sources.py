"""Open a video file, a folder of images, a glob or a list of images as a source of frames."""

import math
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeVar
from unicodedata import normalize

from aot_jax.io.files import expand
from aot_jax.io.frames import FrameError, list_frames, read_frame, take_frames
from aot_jax.io.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from aot_jax.io.names import Frames, is_hidden, video_name
from aot_jax.io.stacks import Stack, pictures_in
from aot_jax.io.video_reader import Frame, VideoReader
from aot_jax.typing import Size

T = TypeVar("T")
AHEAD = 4  # frames decoded ahead
IMAGE_RATE = Fraction(24)  # default rate of images in frames a second, as in DAVIS
MIN_RATE = 0.001  # smallest rate of images, in frames a second


class Source(Frames, Protocol):
    """A video in any form of storage."""

    rate: Fraction  # frames a second, on average
    pixel_aspect: Fraction  # width : height of a pixel
    count: int | None  # number of frames; None for a video file until it has been read once

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield frames `start`, `start` + 1, ..."""

    def backward(self, end: int) -> Iterator[Frame]:
        """Yield frames `end` - 1, ..., 0."""


class ImageSource:
    """Images of one size as the frames of a video.

    Args:
        paths: images, in order.
        name: name for result folders.
        rate: frames a second of the overlay.

    Raises:
        FrameError: the first image cannot be read; while iterating: an image cannot be read or has another size.
    """

    def __init__(self, paths: Sequence[Path], name: str, rate: Fraction = IMAGE_RATE) -> None:
        self.paths = list(paths)
        self.name = video_name(name)
        self.rate = rate
        self.pixel_aspect = Fraction(1)
        self.count: int | None = len(self.paths)
        self.expected: int | None = self.count
        self._numbers = {normalize("NFC", path.stem): i for i, path in enumerate(self.paths)}
        self.size: Size = read_frame(self.paths[0]).shape[:2]

    def label(self, index: int) -> str:
        """Return the name of the image, without suffix."""
        return self.paths[index].stem

    def index_of(self, label: str) -> int | None:
        """Return the number of the image with this name, without suffix; None if there is none."""
        return self._numbers.get(normalize("NFC", label))  # macOS decomposes accented letters

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the images from number `start` on."""
        return map(self._frame, range(start, len(self.paths)))

    def backward(self, end: int) -> Iterator[Frame]:
        """Yield images `end` - 1, ..., 0."""
        return map(self._frame, reversed(range(min(end, len(self.paths)))))

    def _frame(self, index: int) -> Frame:
        path = self.paths[index]
        pixels = read_frame(path)
        if pixels.shape[:2] != self.size:
            (h, w), (height, width) = pixels.shape[:2], self.size
            raise FrameError(
                f"{path}: this image is {w}x{h}, but the first one, {self.paths[0].name}, is {width}x{height} "
                "(width x height): scale them to one size, or leave out what does not belong to the video"
            )
        return Frame(index, index / self.rate, pixels)


def read_ahead(frames: Iterator[T]) -> Generator[T, None, None]:
    """Yield items of an iterator while a thread computes the next `AHEAD`; the items must not be None."""
    with ThreadPoolExecutor(1, thread_name_prefix="frame-reader") as pool:
        waiting = deque(pool.submit(next, frames, None) for _ in range(AHEAD))
        try:
            while (frame := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, frames, None))
                yield frame
        finally:
            pool.shutdown(cancel_futures=True)
            if hasattr(frames, "close"):  # a generator that holds a file open
                frames.close()


def open_source(
    given: Sequence[str | Path],
    rate: float | Fraction | None = None,
    warn: Callable[[str], None] = lambda _: None,
    no_frames: Iterable[str | Path] = (),
) -> Source:
    """Open a video.

    Args:
        given: one video file, folder or glob, or several images.
        rate: frames a second of images (default: 24); not used for a video file.
        warn: called with each warning about the file.
        no_frames: images that are not frames, such as the given masks.

    Raises:
        FrameError: the video cannot be read; the message names the file.

    Example:
        >>> import numpy as np
        >>> from aot_jax.io.frames import write_jpeg
        >>> for t in range(3):
        ...     write_jpeg(f"{t:02d}.jpg", np.full((4, 6, 3), 50 * t, np.uint8))
        >>> video = open_source(["*.jpg"])
        >>> video.count, video.size, [frame.index for frame in video.frames(start=1)]
        (3, (4, 6), [1, 2])
    """
    if rate is not None and not MIN_RATE <= rate < math.inf:
        raise FrameError(f"the frame rate is {rate}; give one of at least {MIN_RATE}")
    of_images = IMAGE_RATE if rate is None else Fraction(rate).limit_denominator(1001)
    source = _open(list(map(str, given)), of_images, warn, {Path(path).absolute() for path in no_frames})
    if rate is not None and source.rate != of_images:
        warn(f"{given[0]}: states its own frame rate; the one given is for images, and not used")
    if source.count == 1:
        warn(f"{given[0]}: a single frame, so there is nothing to track through")
    return source


def _open(texts: list[str], rate: Fraction, warn: Callable[[str], None], no_frames: set[Path]) -> Source:
    if len(texts) > 1:
        return _from_images(list(map(Path, texts)), Path(texts[0]).absolute().parent.name, rate, warn, no_frames)
    text, path = texts[0], Path(texts[0])
    if re.match("[a-zA-Z][a-zA-Z0-9+.-]*://", text):
        raise FrameError(f"{text}: videos are not fetched; download it, and give the file")
    try:
        if path.is_dir():
            return _from_images(_images_of(path, no_frames), path.absolute().name, rate, warn, no_frames)
        found = expand(path)
        if not found:
            raise FrameError(f"{text}: no file has such a name; check the pattern")
        if not path.exists() and re.search("%[0-9]*d", text):
            raise FrameError(
                f"{text}: no such file; give the folder of the images, or '{re.sub('%[0-9]*d', '*', text)}'"
            )
        if len(found) > 1:
            return _from_images(found, found[0].absolute().parent.name, rate, warn, no_frames)
        path = found[0]
        if path.suffix.lower() in IMAGE_SUFFIXES:
            is_stack = path.exists() and pictures_in(path) > 1
            return Stack(path, rate, warn) if is_stack else ImageSource([path], path.stem, rate)
    except OSError as error:
        raise FrameError(f"{text}: cannot be read ({error.strerror or error})") from None
    return VideoReader(path, warn)


def _images_of(folder: Path, no_frames: set[Path]) -> list[Path]:
    """List the images of a folder; refuse a folder with a video, an animation or a stack."""
    there = [path for path in folder.iterdir() if not (path.is_dir() or is_hidden(path.name))]
    images = [path for path in there if path.suffix.lower() in IMAGE_SUFFIXES and path.absolute() not in no_frames]
    videos = sorted(path for path in there if path.suffix.lower() in VIDEO_SUFFIXES)
    videos = videos or [path for path in images[:2] if len(images) < 3 and pictures_in(path) > 1]
    if videos:
        beside = len(there) - len(videos)
        others = f" beside {beside} other file{'s' * (beside > 1)}" if beside else ""
        several = f"{len(videos)} videos, as {videos[0].name}" if len(videos) > 1 else f"the video {videos[0].name}"
        frames = f", or its images as '{folder}/*{images[0].suffix}'" if len(images) > 1 else ""
        raise FrameError(f"{folder}: holds {several}{others}: give {videos[0]}{frames}")
    return images or list_frames(folder)


def _from_images(
    paths: Sequence[Path], name: str, rate: Fraction, warn: Callable[[str], None], no_frames: set[Path]
) -> Source:
    others = [path for path in paths if path.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        raise FrameError(
            f"{others[0]}: several files make a video only if all are images ({' '.join(IMAGE_SUFFIXES)}); "
            "give one video at a time"
        )
    images = [path for path in paths if path.absolute() not in no_frames] or list(paths)
    return ImageSource(take_frames(images, warn), name, rate)
