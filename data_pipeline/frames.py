"""Read and check the frames of raw videos, in the form to be stored: upright JPEGs or PNGs, masks as PNGs of ids."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import Image

from aot_jax.io.datasets import DataError, Dataset, FramePair, Video
from aot_jax.io.frames import FrameError, read_frame
from aot_jax.io.images import IMAGES, JPEG_OR_PNG, count_pictures, open_image, orientation
from aot_jax.io.mask_sets import Masks, read_masks
from aot_jax.io.masks import MaskError
from aot_jax.typing import VOID


@dataclass(frozen=True)
class EncodedFrame:
    """A frame in the form in which it is stored."""

    name: str
    image: bytes  # JPEG or PNG
    mask: bytes  # 8-bit grey PNG of ids
    objects: dict[int, int]  # pixels of each id, including 255 (void)


ReadResult = EncodedFrame | DataError | None


def read_videos(
    source: Dataset, tell: Callable[[str], None] = lambda _: None
) -> Iterator[tuple[Video, Iterator[ReadResult]]]:
    """Yield each video with a result for each frame: the encoded frame, the error that excludes it, or None.

    The result is None for a frame without a mask in a user's own videos, where that is allowed. All masks of a group
    are interpreted together (`aot_jax.read_masks`).

    Args:
        source: the data set.
        tell: called with one line for each guess about files and masks.
    """
    for _, group in groupby(source.videos, key=lambda video: video.group):
        videos = list(group)
        for note in (note for video in videos for note in video.notes):
            tell(note)
        files = {
            _key(video, pair): pair.mask
            for video in videos
            for pair in video.frames
            if pair.mask is not None and pair.image is not None
        }
        masks: Masks | DataError
        try:
            masks = read_masks(files, void=VOID, keep_going=True)
        except MaskError as error:
            masks = DataError(str(error))
        else:
            for note in masks.notes:
                tell(note)
        for video in videos:
            yield video, _read_video(video, source.kind, masks)


def _read_video(video: Video, kind: str, masks: Masks | DataError) -> Iterator[ReadResult]:
    size = None
    for pair in video.frames:
        if pair.mask is None and pair.image is not None and kind == "videos":
            yield None
            continue
        try:
            frame, size = _encode(video, pair, size, masks)
            yield frame
        except DataError as error:
            yield error
        except (OSError, MaskError) as error:
            yield DataError(str(error))


def _encode(
    video: Video, pair: FramePair, size: tuple[int, int] | None, masks: Masks | DataError
) -> tuple[EncodedFrame, tuple[int, int]]:
    """Read and encode one frame; `size` is the (h, w) of the video's earlier frames, which it must match."""
    if pair.image is None or pair.mask is None:
        raise DataError(f"{video.name}/{pair.name}: its {'mask' if pair.image else 'image'} file is missing")
    if isinstance(masks, DataError):
        raise masks
    shape, image = encode_image(pair.image.read_bytes(), str(pair.image))
    ids = masks[_key(video, pair)]
    if ids.shape != shape:
        raise DataError(f"{pair.mask}: {_wh(ids.shape)} pixels, but its image has {_wh(shape)}")
    if size is not None and shape != size:
        raise DataError(f"{pair.image}: {_wh(shape)} pixels, but the video's other frames have {_wh(size)}")
    return EncodedFrame(pair.name, image, encode_ids(ids, str(pair.mask)), count_pixels(ids)), shape


def _key(video: Video, pair: FramePair) -> str:
    return f"{video.name}/{pair.name}"


def _wh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def encode_ids(ids: np.ndarray, name: str) -> bytes:
    """Encode ids (h, w), 255 void, as an 8-bit grey PNG.

    Raises:
      DataError: an id above 255.
    """
    if ids.max() > VOID:
        raise DataError(
            f"{name}: ids from {ids.min()} to {ids.max()}; training takes 0 .. 254, and 255 for void: renumber them"
        )
    buffer = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def count_pixels(ids: np.ndarray) -> dict[int, int]:
    """Count the pixels of each id of (h, w) uint8 except background; 255 (void) is included."""
    counts = np.bincount(ids.reshape(-1), minlength=256)
    return {int(i): int(counts[i]) for i in np.flatnonzero(counts) if i}


def encode_image(data: bytes, name: str) -> tuple[tuple[int, int], bytes]:
    """Check an image; re-encode it if OpenCV would decode it differently from `read_frame`.

    Args:
      data: contents of the file.
      name: the file's name in errors.

    Returns:
      (height, width) and the bytes of a JPEG or PNG: `data` itself, unless EXIF rotates it, it is CMYK, or it has
      another format.

    Raises:
      DataError: the file cannot be decoded.
    """
    with open_image(name, IMAGES, DataError, data) as (image, head):
        width, height = image.size
        if head.startswith(tuple(JPEG_OR_PNG)) and count_pictures(image) == 1:
            image.draft("RGB", (max(1, width // 8), max(1, height // 8)))  # reads all bytes, decodes few pixels
            image.load()
            if orientation(image) == 1 and image.mode != "CMYK":
                return (height, width), data
    try:
        pixels = read_frame(name, data)
    except FrameError as error:
        raise DataError(str(error)) from None
    buffer = io.BytesIO()
    if image.format == "JPEG":
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling=0)
    else:
        Image.fromarray(pixels).save(buffer, "PNG")
    return (pixels.shape[0], pixels.shape[1]), buffer.getvalue()
