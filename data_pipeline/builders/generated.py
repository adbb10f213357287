"""TFDS builder of procedural videos (`data_pipeline.generate`): made in seconds, nothing downloaded."""

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from data_pipeline.builders.frames import EncodedFrame, FrameBuilder
from data_pipeline.generate import make_video, plan_video
from data_pipeline.masks import count_pixels

__all__ = ["Generated", "Recipe", "make_video", "plan_video"]


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


class Generated(FrameBuilder):
    """Procedural videos as TFDS; the same recipe gives the same bytes."""

    kind = "generated"

    def __init__(self, *, recipe: Recipe | None = None, **kwargs: Any) -> None:
        self._recipe = recipe or Recipe()
        super().__init__(**kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return {"train": self._generate_examples(self._recipe)}

    def _generate_examples(self, source: Any) -> Iterator[tuple[int, dict]]:
        recipe: Recipe = source
        names = (f"{recipe.seed}-{index:04d}" for index in range(recipe.videos))
        videos = ((name, "generated", _encode(recipe, index)) for index, name in enumerate(names))
        yield from self._store(videos, recipe.videos * recipe.frames, "generated videos")


def _encode(recipe: Recipe, index: int) -> Iterator[EncodedFrame]:
    plan = plan_video(recipe.seed, index, recipe.objects, recipe.lookalikes)
    images, masks = make_video(frames=recipe.frames, height=recipe.height, width=recipe.width, **asdict(plan))
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        jpeg, png = io.BytesIO(), io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=95)
        Image.fromarray(mask).save(png, "PNG")
        yield EncodedFrame(f"{t:05d}", jpeg.getvalue(), png.getvalue(), count_pixels(mask))
