"""Read the frames of a raw video as they are stored: encoded bytes kept as they are, each checked."""

from collections.abc import Iterator
from dataclasses import dataclass

from aot_jax.io.datasets import FramePair, Video
from data_pipeline.errors import DataError
from data_pipeline.masks import count_pixels, image_size, read_mask


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it is stored."""

    name: str
    image: bytes  # JPEG or PNG
    mask: bytes  # 8-bit grey PNG of ids
    objects: dict[int, int]  # pixels of each id, 255 among them


def read_video(video: Video, kind: str) -> Iterator[EncodedFrame | DataError | None]:
    """Yield for each frame of a video what is stored, the error that keeps it out, or None.

    None stands for a frame without mask of a user's own videos, which is no mistake.

    Args:
        video: the video.
        kind: of its data set.
    """
    size = None
    for pair in video.frames:
        if pair.mask is None and pair.image is not None and kind == "videos":
            yield None
            continue
        try:
            frame, size = _encode(video.name, pair, size)
            yield frame
        except DataError as error:
            yield error
        except OSError as error:
            yield DataError(str(error))


def _encode(video: str, pair: FramePair, size: tuple[int, int] | None) -> tuple[EncodedFrame, tuple[int, int]]:
    """Read one frame; `size` (h, w) is that of the video's frames before it."""
    if pair.image is None or pair.mask is None:
        raise DataError(f"{video}/{pair.name}: its {'mask' if pair.image else 'image'} file is missing")
    image, mask = pair.image.read_bytes(), pair.mask.read_bytes()
    shape = image_size(image, str(pair.image))
    ids, mask = read_mask(mask, str(pair.mask))
    if ids.shape != shape:
        raise DataError(f"{pair.mask}: {_wh(ids.shape)} pixels, but its image has {_wh(shape)}")
    if size is not None and shape != size:
        raise DataError(f"{pair.image}: {_wh(shape)} pixels, but the video's other frames have {_wh(size)}")
    return EncodedFrame(pair.name, image, mask, count_pixels(ids)), shape


def _wh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
