"""List the frames of a video in a folder, in order, and read them as RGB arrays."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.errors import ReportedError
from aot_jax.io.images import IMAGE_SUFFIXES, IMAGES, decode_image, write_image
from aot_jax.io.names import is_hidden
from aot_jax.io.series import choose_frames, natural, order_note


class FrameError(ReportedError):
    """A frame or folder of frames cannot be used; the message says why and what to do."""


def list_frames(
    folder: str | Path,
    suffixes: Iterable[str] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """List the frames of a video in a folder, in the order of the video.

    Args:
        folder: folder of images; its subfolders and hidden files (`._00000.jpg` of macOS) are left out.
        suffixes: file suffixes with the dot, in any case: every such image is listed. None: `IMAGE_SUFFIXES`, without
            masks, depth maps and thumbnails next to the frames.
        warn: called with one line if files are left out, and one if the order is ambiguous.

    Returns:
        Paths sorted by name, where a run of digits counts as a number: `2.jpg` and `frame_2.jpg` come before
        `10.jpg` and `frame_10.jpg`. For names padded with zeros this is plain name order.

    Raises:
        FrameError: the folder is missing or holds no such image, or two images differ only in their suffix.

    Example:
        >>> for name in ("10.jpg", "9.jpg", "notes.txt"):
        ...     _ = Path(name).write_bytes(b"")
        >>> [path.name for path in list_frames(".")]
        ['9.jpg', '10.jpg']
    """
    folder = Path(folder)
    endings = IMAGE_SUFFIXES if suffixes is None else tuple(suffix.lower() for suffix in suffixes)
    if not folder.is_dir():
        raise FrameError(f"{folder}: not a folder; give one that holds {' '.join(endings)} images")
    images = [path for path in _visible(folder) if path.suffix.lower() in endings and not path.is_dir()]
    if not images:
        raise FrameError(f"{folder}: no {' '.join(endings)} image in it{what_is_in(folder)}")
    return order_frames(images) if suffixes else take_frames(images, warn)


def take_frames(images: Sequence[Path], warn: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Choose the frames among images and sort them; arguments and errors as in `list_frames`."""
    chosen, notes = choose_frames(images)
    frames = order_frames(chosen)
    for note in (*notes, order_note(frames)):
        if note:
            warn(note)
    return frames


def order_frames(frames: Iterable[Path]) -> list[Path]:
    """Sort images by name as `list_frames` does, for tracking, evaluation and training alike.

    Raises:
        FrameError: two images differ only in their folder or suffix.
    """
    frames = sorted(frames, key=lambda path: (natural(path.stem), path.name))
    by_stem: dict[str, Path] = {}
    for path in frames:
        first = by_stem.setdefault(path.stem, path)
        if first is not path:
            names = (first.name, path.name) if first.parent == path.parent else (first, path)
            raise FrameError(f"{path.parent}: {names[0]} and {names[1]} would be one frame twice; remove one of them")
    return frames


def what_is_in(folder: Path) -> str:
    """Describe the contents of a folder without images, and the remedy."""
    there = list(_visible(folder))
    kinds = Counter(path.suffix.lower() or "nameless" for path in there if path.is_file())
    folders = sorted(path.name for path in there if path.is_dir())
    parts = [f"{count} {kind} file{'s' * (count > 1)}" for kind, count in kinds.most_common(3)]
    if folders:
        parts.append("folders, as " + ", ".join(folders[:3]))
    if not parts:
        return "; give the folder that holds the images"
    remedy = "give the one that holds the images" if folders else "convert them to JPEG or PNG, or give another folder"
    return f", but {' and '.join(parts)}; {remedy}"


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not is_hidden(path.name))


def read_frame(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """Read an image (JPEG, PNG, WebP, BMP, TIFF) as RGB.

    The EXIF orientation is applied. Grey, palette and CMYK become RGB, transparency is dropped, and 16-bit samples keep
    their high byte.

    Args:
        path: the image.
        data: content of the file, if already read.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        FrameError: the file is missing, broken or of another format, or holds several pictures or too many pixels.

    Example:
        >>> write_jpeg("0.jpg", np.full((4, 6, 3), 100, np.uint8))
        >>> read_frame("0.jpg").shape
        (4, 6, 3)
        >>> read_frame("1.jpg")
        Traceback (most recent call last):
        aot_jax.io.frames.FrameError: 1.jpg: no such file; check the path
    """
    image, _ = decode_image(path, IMAGES, FrameError, data)
    return to_rgb(image, path)


def to_rgb(image: Image.Image, path: str | Path, shift: int = 8) -> np.ndarray:
    """Return a decoded image as (h, w, 3) uint8 RGB; 16-bit samples are shifted right by `shift`.

    Raises:
        FrameError: the samples are floats.
    """
    if image.mode == "F":
        raise FrameError(f"{path}: holds floating-point samples, whose range is not known; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255 instead of scaling it
        grey = np.clip(np.asarray(image).astype(np.int32) >> shift, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    image.info.pop("transparency", None)  # dropped anyway, but Pillow warns about it
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def write_jpeg(path: str | Path, pixels: np.ndarray) -> None:
    """Write a frame (h, w, 3) uint8 RGB as a high-quality JPEG, atomically.

    Raises:
        OSError: the file cannot be written.
    """
    write_image(path, pixels, format="JPEG", quality=95, subsampling=0)
