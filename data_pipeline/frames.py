"""Frames as prepared sets hold them: read and checked from raw files, or drawn; encoded bytes are kept as they are."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from data_pipeline.errors import DataError
from data_pipeline.generate import make_video, plan_video
from data_pipeline.masks import count_pixels, image_size, read_mask
from data_pipeline.sources import Frame, Video


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it is stored."""

    name: str
    image: bytes  # JPEG or PNG
    mask: bytes  # 8-bit grey PNG of ids
    objects: dict[int, int]  # pixels of each id, 255 among them


@dataclass(frozen=True)
class Recipe:
    """What decides the generated videos, all of it."""

    seed: int = 0
    videos: int = 60
    frames: int = 20
    height: int = 160  # pixels
    width: int = 208  # pixels
    objects: tuple[int, int] = (1, 6)  # fewest and most objects of a video
    lookalikes: float = 0.25  # share of videos in which two objects look the same


def read_video(
    video: Video, kind: str, on_bad_file: str, left_out: list[dict[str, str]]
) -> Iterator[EncodedFrame | None]:
    """Read a video's files, checking each; None stands for a frame that is not stored.

    Args:
      video: the files.
      kind: of the set; a frame of "videos" may lack its mask.
      on_bad_file: "stop", or "skip": note a bad file in `left_out`.
      left_out: gets file and reason.

    Raises:
      DataError: a bad file, named, where `on_bad_file` is "stop".
    """
    size = None
    for frame in video.frames:
        try:
            if frame.mask is None and kind == "videos":
                yield None  # a user's frame without a mask is no mistake
                continue
            encoded, size = _encode(video.name, frame, size)
            yield encoded
        except (DataError, OSError) as error:
            if on_bad_file == "stop":
                raise DataError(f"{error}. To leave bad files out: --config.data.on_bad_file=skip") from error
            tqdm.write(f"left out: {error}")
            left_out.append({"file": f"{video.name}/{frame.name}", "why": str(error)})
            yield None


def walk(videos: Iterable, total: int, what: object, listed: list[dict]) -> Iterator[tuple[str, EncodedFrame]]:
    """Go through all frames, with a progress bar.

    Args:
      videos: (name, group, frames) of each.
      total: number of frames.
      what: is read; for the bar and errors.
      listed: gets what sampling needs to know of each video: its frames in order and each frame's object pixels.

    Yields:
      a video's name and a frame of it.

    Raises:
      DataError: there is no frame.
    """
    with tqdm(total=total, desc=f"prepare {what}", unit="frame", mininterval=0.5, dynamic_ncols=True) as bar:
        for name, group, frames in videos:
            names, objects = [], []
            for frame in frames:
                bar.update()
                if frame is not None:
                    names.append(frame.name)
                    objects.append({str(k): v for k, v in frame.objects.items()})
                    yield name, frame
            if names:
                listed.append({"name": name, "group": group, "frames": names, "objects": objects})
    if not listed:
        raise DataError(f"{what}: no frame with a mask found; try: python -m data_pipeline.check {what}")


def generate_videos(recipe: Recipe) -> Iterator[tuple[str, Iterator[EncodedFrame]]]:
    """Yield name and frames of each procedural video."""
    for index in range(recipe.videos):
        yield f"{recipe.seed}-{index:04d}", _generate(recipe, index)


def check_on_bad_file(value: str) -> None:
    """Raise DataError unless it is a value of `data.on_bad_file`."""
    if value not in ("stop", "skip"):
        raise DataError(f"on_bad_file is {value!r}; use 'stop' or 'skip'")


def _generate(recipe: Recipe, index: int) -> Iterator[EncodedFrame]:
    plan = plan_video(recipe.seed, index, recipe.objects, recipe.lookalikes)
    images, masks = make_video(frames=recipe.frames, height=recipe.height, width=recipe.width, **asdict(plan))
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        jpeg, png = io.BytesIO(), io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=95)
        Image.fromarray(mask).save(png, "PNG")
        yield EncodedFrame(f"{t:05d}", jpeg.getvalue(), png.getvalue(), count_pixels(mask))


def _encode(video: str, frame: Frame, size: tuple[int, int] | None) -> tuple[EncodedFrame, tuple[int, int]]:
    if frame.image is None or frame.mask is None:
        raise DataError(f"{video}/{frame.name}: its {'mask' if frame.image else 'image'} file is missing")
    image, mask = frame.image.read_bytes(), frame.mask.read_bytes()
    shape = image_size(image, str(frame.image))
    ids, mask = read_mask(mask, str(frame.mask))
    if ids.shape != shape:
        raise DataError(f"{frame.mask}: {_wh(ids.shape)} pixels, but its image has {_wh(shape)}")
    if size is not None and shape != size:
        raise DataError(f"{frame.image}: {_wh(shape)} pixels, but the video's other frames have {_wh(size)}")
    return EncodedFrame(frame.name, image, mask, count_pixels(ids)), shape


def _wh(shape: tuple[int, ...] | np.ndarray) -> str:
    return f"{shape[1]}x{shape[0]}"
