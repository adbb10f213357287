"""Image files decoded strictly: which kinds are read, how large they may be, and which way up they are shown."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 2**27  # of one image; a few kilobytes of PNG can claim billions (a decompression bomb)
ORIENTATION = 0x0112  # EXIF tag: how a viewer turns the picture
HEAD = 32  # bytes of a file that tell its kind

Kinds = Mapping[bytes, type[ImageFile]]  # Pillow's plugin for each accepted file signature
PNG: Kinds = {b"\x89PNG\r\n\x1a\n": PngImageFile}
JPEG_OR_PNG: Kinds = {b"\xff\xd8\xff": JpegImageFile, **PNG}
IMAGES: Kinds = {
    **JPEG_OR_PNG,
    b"RIFF": WebPImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def decode_image(
    path: str | Path, kinds: Kinds, error: type[Exception], data: bytes | None = None
) -> tuple[Image.Image, bytes]:
    """Decode an image file fully and turn it upright, or explain in one `error` why it cannot be done.

    Args:
        path: the file.
        kinds: what is accepted.
        error: the exception to raise.
        data: its bytes, where they have been read already; `path` is its name then.

    Returns:
        The loaded image as a viewer shows it, and the file's first 32 bytes.

    Raises:
        error: whatever is wrong with the file, or it holds several pictures; the message names it.
    """
    with explain_errors(path, error), Path(path).open("rb") if data is None else io.BytesIO(data) as stream:
        image, head = open_image(stream, path, kinds, error)
        count = count_pictures(image)
        if count > 1:
            raise error(
                f"{path}: holds {count} pictures, an animation or a stack: give it alone as a video, or split it"
            )
        image.load()
        return upright(image), head


def open_image(stream: BinaryIO, path: str | Path, kinds: Kinds, error: type[Exception]) -> tuple[ImageFile, bytes]:
    """Open an image without decoding it, so that what is too large costs nothing. To be called in `explain_errors`.

    The plugin is called itself instead of `Image.open`, which warns about images of half our bound and has no other
    switch than module-wide state.

    Args:
        stream: of the file.
        path: its name, for errors.
        kinds: what is accepted.
        error: the exception to raise.

    Returns:
        The image, of at most `MAX_PIXELS`, and the file's first 32 bytes.

    Raises:
        error: it is of no such kind, or too large.
    """
    head = stream.read(HEAD)
    stream.seek(0)
    plugin = next((plugin for signature, plugin in kinds.items() if head.startswith(signature)), None)
    if plugin is None:
        names = " or ".join(dict.fromkeys(str(plugin.format) for plugin in kinds.values()))
        raise error(f"{path}: not a {names} file (it starts with {head[:8]!r}); convert it to {names}")
    if plugin is WebPImageFile:
        _check_size(*_webp_size(head), path, error)  # its decoder allocates the canvas when it is opened
    image = plugin(stream, str(path))
    _check_size(image.width, image.height, path, error)
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


def orientation(image: Image.Image) -> int:
    """Return how a viewer turns an image, 1 to 8 as in EXIF; 1, as it is stored, where the tag is missing or broken."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # EXIF is of any bytes; viewers ignore what is broken
        return 1
    return value if value in range(1, 9) else 1


def upright(image: Image.Image) -> Image.Image:
    """Turn a loaded image as a viewer shows it."""
    turn = orientation(image)
    if turn == 1:
        return image
    image.getexif()[ORIENTATION] = turn
    return ImageOps.exif_transpose(image)


def count_pictures(image: ImageFile) -> int:
    """Count the pictures of an animation or a stack; reduced copies of a page are none."""
    count = int(getattr(image, "n_frames", 1))
    if count > 1 and isinstance(image, TiffImageFile):
        size = image.size
        image.seek(1)
        smaller = image.size != size
        image.seek(0)
        return 1 if smaller else count
    return count


def _check_size(width: int, height: int, path: str | Path, error: type[Exception]) -> None:
    if width * height > MAX_PIXELS:
        raise error(f"{path}: {width}x{height} is more than {MAX_PIXELS} pixels; scale it down or check the file")


def _webp_size(head: bytes) -> tuple[int, int]:
    """Return width and height that a WebP file's header states."""
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    raise ValueError("no WebP picture in it")
