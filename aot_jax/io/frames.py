"""Folders of video frames: which files they hold, in what order, and their pixels as RGB arrays."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

MAX_PIXELS = 2**27  # of one image; a few kilobytes of PNG can claim billions (a decompression bomb)
FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")

PNG: Mapping[bytes, type[ImageFile]] = {b"\x89PNG\r\n\x1a\n": PngImageFile}
JPEG_OR_PNG: Mapping[bytes, type[ImageFile]] = {b"\xff\xd8\xff": JpegImageFile, **PNG}


class FrameError(ValueError):
    """Says which frame or folder of frames cannot be used, why, and what to do."""


def list_frames(folder: str | Path, suffixes: Iterable[str] = FRAME_SUFFIXES) -> list[Path]:
    """List the images of a folder in the order of the video.

    Args:
        folder: its images only; folders inside it and hidden files (`._00000.jpg` of macOS) are left out.
        suffixes: endings that count as an image, with the dot, in any case.

    Returns:
        Paths sorted by name, where a run of digits counts as a number: `2.jpg` and `frame_2.jpg` come before
        `10.jpg` and `frame_10.jpg`. For names padded with zeros this is plain name order.

    Raises:
        FrameError: the folder is missing or holds no such image, or two images differ in their suffix only.

    Example:
        >>> for name in ("10.jpg", "9.jpg", "notes.txt"):
        ...     _ = Path(name).write_bytes(b"")
        >>> [path.name for path in list_frames(".")]
        ['9.jpg', '10.jpg']
    """
    folder = Path(folder)
    endings = tuple(suffix.lower() for suffix in suffixes)
    if not folder.is_dir():
        raise FrameError(f"{folder}: not a folder; give one that holds {' '.join(endings)} images")
    frames = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file()
    ]
    if not frames:
        raise FrameError(f"{folder}: no {' '.join(endings)} image in it; give the folder that holds the images")
    return order_frames(frames)


def order_frames(frames: Iterable[Path]) -> list[Path]:
    """Sort images by name as `list_frames` does.

    Raises:
        FrameError: two of them differ in their folder or suffix only.
    """
    frames = sorted(frames, key=lambda path: (_natural(path.stem), path.name))
    by_stem: dict[str, Path] = {}
    for path in frames:
        first = by_stem.setdefault(path.stem, path)
        if first is not path:
            names = (first.name, path.name) if first.parent == path.parent else (first, path)
            raise FrameError(f"{path.parent}: {names[0]} and {names[1]} would be one frame twice; remove one of them")
    return frames


def read_frame(path: str | Path) -> np.ndarray:
    """Read a JPEG or PNG as RGB.

    The pixels are those stored: an EXIF orientation is not applied, since masks are drawn on stored pixels. Grey,
    palette and CMYK become RGB, transparency is dropped, and 16-bit samples keep their high byte.

    Args:
        path: the image.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        FrameError: no such file, not a JPEG or PNG, broken or truncated, or more than `MAX_PIXELS`.

    Example:
        >>> write_jpeg("0.jpg", np.full((4, 6, 3), 100, np.uint8))
        >>> read_frame("0.jpg").shape
        (4, 6, 3)
        >>> read_frame("1.jpg")
        Traceback (most recent call last):
        aot_jax.io.frames.FrameError: 1.jpg: no such file; check the path
    """
    image, _ = decode_image(path, JPEG_OR_PNG, FrameError)
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255 instead of scaling it
        grey = (np.asarray(image).astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    image.info.pop("transparency", None)  # dropped anyway, but Pillow warns about it
    return np.array(image.convert("RGB"))


def write_jpeg(path: str | Path, pixels: np.ndarray) -> None:
    """Write a frame (h, w, 3) uint8 RGB as a JPEG of high quality.

    Raises:
        OSError: if it cannot be written.
    """
    Image.fromarray(pixels).save(path, "JPEG", quality=95, subsampling=0)


def decode_image(
    path: str | Path, kinds: Mapping[bytes, type[ImageFile]], error: type[Exception], data: bytes | None = None
) -> tuple[Image.Image, bytes]:
    """Decode an image file fully, or explain in one `error` why it cannot be done.

    Args:
        path: the file.
        kinds: Pillow's plugin for each accepted file signature.
        error: the exception to raise.
        data: its bytes, where they have been read already; `path` is its name then.

    Returns:
        The loaded image, and the file's first 32 bytes.

    Raises:
        error: whatever is wrong with the file; the message names it.
    """
    with explain_errors(path, error), Path(path).open("rb") if data is None else io.BytesIO(data) as stream:
        image, head = open_image(stream, path, kinds, error)
        image.load()
        return image, head


def open_image(
    stream: BinaryIO, path: str | Path, kinds: Mapping[bytes, type[ImageFile]], error: type[Exception]
) -> tuple[Image.Image, bytes]:
    """Open an image without decoding it, so that what is too large costs nothing. To be called in `explain_errors`.

    The plugin is called itself instead of `Image.open`, which warns about images of half our bound and has no other
    switch than module-wide state.

    Args:
        stream: of the file.
        path: its name, for errors.
        kinds: Pillow's plugin for each accepted file signature.
        error: the exception to raise.

    Returns:
        The image, of at most `MAX_PIXELS`, and the file's first 32 bytes.

    Raises:
        error: it is of no such kind, or too large.
    """
    head = stream.read(32)
    stream.seek(0)
    plugin = next((plugin for signature, plugin in kinds.items() if head.startswith(signature)), None)
    if plugin is None:
        names = " or ".join(str(plugin.format) for plugin in kinds.values())
        raise error(f"{path}: not a {names} file (it starts with {head[:8]!r}); convert it to {names}")
    image = plugin(stream, str(path))
    if image.height * image.width > MAX_PIXELS:
        raise error(
            f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS} pixels; scale it down or check the file"
        )
    return image, head


@contextmanager
def explain_errors(path: str | Path, error: type[Exception]) -> Iterator[None]:
    """Turn whatever a broken image raises into one `error` that names it."""
    try:
        yield
    except error:
        raise
    except FileNotFoundError:
        raise error(f"{path}: no such file; check the path") from None
    except Exception as reason:  # broken bytes make Pillow raise nearly anything: SyntaxError, struct.error, zlib.error
        raise error(f"{path}: cannot be read ({reason}); copy or export the file again") from reason


def _natural(name: str) -> list[str | int]:
    """Split a name into text and numbers, alternating, so that names compare number by number."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]
