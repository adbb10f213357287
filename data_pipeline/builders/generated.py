"""TFDS builder of procedural videos (`aot_jax.io.generated`): made in seconds, nothing downloaded."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from aot_jax.io.generated import Recipe, make_videos
from data_pipeline.builders.frames import EncodedFrame, FrameBuilder
from data_pipeline.masks import count_pixels

__all__ = ["Generated", "Recipe"]


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
        videos = (
            (f"{recipe.seed}-{index:04d}", "generated", _encode(images, masks))
            for index, (images, masks) in enumerate(make_videos(recipe))
        )
        yield from self._store(videos, recipe.videos * recipe.frames, "generated videos")


def _encode(images: np.ndarray, masks: np.ndarray) -> Iterator[EncodedFrame]:
    for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
        jpeg, png = io.BytesIO(), io.BytesIO()
        Image.fromarray(image).save(jpeg, "JPEG", quality=95)
        Image.fromarray(mask).save(png, "PNG")
        yield EncodedFrame(f"{t:05d}", jpeg.getvalue(), png.getvalue(), count_pixels(mask))
