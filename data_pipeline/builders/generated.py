"""TFDS builder of procedural videos (`data_pipeline.generate`): made in seconds, nothing downloaded."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from data_pipeline.builders.frames import FrameBuilder
from data_pipeline.frames import Recipe, generate_videos


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
        videos = ((name, "generated", frames) for name, frames in generate_videos(recipe))
        yield from self._store(videos, recipe.videos * recipe.frames, "generated videos", [])
