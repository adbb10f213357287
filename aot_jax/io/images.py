"""Decode image files strictly: accepted formats, size limit, orientation."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from aot_jax.io.files import atomic_write

MAX_PIXELS = 2**27  # most pixels of one image; a small PNG can claim billions (a decompression bomb)
ORIENTATION = 0x0112  # EXIF tag of the orientation
HEAD = 32  # bytes at the start of a file that identify its format

Kinds = Mapping[bytes, type[ImageFile]]  # Pillow's plugin for each accepted file signature
PNG: Kinds = {b"\x89PNG\r\n\x1a\n": PngImageFile}
JPEG_START = b"\xff\xd8\xff"
JPEG_OR_PNG: Kinds = {JPEG_START: JpegImageFile, **PNG}
IMAGES: Kinds = {
    **JPEG_OR_PNG,
    b"RIFF": WebPImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
}
MASKS: Kinds = {**IMAGES, b"GIF8": GifImageFile}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif", ".apng", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg"),
    *(".vob", ".flv", ".wmv", ".asf", ".ogv", ".mxf", ".3gp", ".y4m"),
)


def decode_image(
    path: str | Path, kinds: Kinds, error: type[Exception], data: bytes | None = None
) -> tuple[Image.Image, bytes]:
    """Decode an image file and apply its EXIF orientation.

    Args:
        path: the file.
        kinds: accepted formats.
        error: type of exception to raise.
        data: content of the file, if already read; `path` is then its name in messages.

    Returns:
        The loaded, upright image, and the file's first 32 bytes.

    Raises:
        error: the file cannot be decoded or holds several pictures; the message names it.
    """
    with open_image(path, kinds, error, data) as (image, head):
        count = count_pictures(image)
        if count > 1:
            raise error(
                f"{path}: holds {count} pictures, an animation or a stack: give it alone as a video, or split it"
            )
        image.load()
        return upright(image), head


@contextmanager
def open_image(
    path: str | Path, kinds: Kinds, error: type[Exception], data: bytes | None = None
) -> Iterator[tuple[ImageFile, bytes]]:
    """Open an image without decoding it, so that too large ones are refused early.

    It uses Pillow's plugin directly: `Image.open` warns above half of `MAX_PIXELS`, and only global state turns that
    off. Arguments as in `decode_image`.

    Yields:
        The image, of at most `MAX_PIXELS`, and the file's first 32 bytes.

    Raises:
        error: the format is not accepted, the image is too large, or the body of the context cannot decode it.
    """
    with explain_errors(path, error), Path(path).open("rb") if data is None else io.BytesIO(data) as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        if not head:
            raise error(f"{path}: is empty, 0 bytes; copy or export it again")
        plugin = next((plugin for signature, plugin in kinds.items() if head.startswith(signature)), None)
        if plugin is None:
            names = " or ".join(dict.fromkeys(str(plugin.format) for plugin in kinds.values()))
            raise error(f"{path}: not a {names} file (it starts with {head[:8]!r}); convert it to {names}")
        if plugin is WebPImageFile:
            check_pixels(*_webp_size(head), path, error)  # its decoder allocates the canvas when it is opened
        image = plugin(stream)  # with a file name, Pillow would memory-map grey TIFFs, and rotate them wrongly
        check_pixels(image.width, image.height, path, error)
        yield image, head


@contextmanager
def explain_errors(path: str | Path, error: type[Exception]) -> Iterator[None]:
    """Turn any exception that a broken image raises into an `error` that names the file."""
    try:
        yield
    except error:
        raise
    except FileNotFoundError:
        raise error(f"{path}: no such file; check the path") from None
    except Exception as reason:  # broken bytes make Pillow raise nearly anything: SyntaxError, struct.error, zlib.error
        raise error(f"{path}: cannot be read ({reason}); copy or export the file again") from reason


def write_image(path: str | Path, image: Image.Image | np.ndarray, format: str = "PNG", **options: Any) -> None:
    """Write an image, or its pixels (h, w) or (h, w, 3 or 4) uint8, atomically; `options` are Pillow's.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    with atomic_write(path) as temporary:
        (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(temporary, format, **options)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 (as stored) if the tag is missing or broken."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF data, which viewers ignore too
        return 1
    return value if value in range(1, 9) else 1


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation to a loaded image."""
    turn = orientation(image)
    if turn == 1:
        return image
    image.getexif()[ORIENTATION] = turn
    return ImageOps.exif_transpose(image)


def count_pictures(image: ImageFile) -> int:
    """Count the pictures of an animation or a stack; reduced copies of a TIFF page do not count."""
    count = int(getattr(image, "n_frames", 1))
    if count > 1 and isinstance(image, TiffImageFile):
        size = image.size
        image.seek(1)
        smaller = image.size != size
        image.seek(0)
        return 1 if smaller else count
    return count


def check_pixels(width: int, height: int, path: str | Path, error: type[Exception]) -> None:
    """Raise an `error` if an image or a frame of this size is larger than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise error(f"{path}: {width}x{height} is more than {MAX_PIXELS} pixels; scale it down or check the file")


def _webp_size(head: bytes) -> tuple[int, int]:
    """Return (width, height) from the header of a WebP file."""
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    raise ValueError("no WebP picture in it")
