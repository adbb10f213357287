"""TFDS builder of YouTube-VOS 2018 and 2019, from the official folders; called by `data_pipeline.prepare`."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_pipeline import sources
from data_pipeline.builders.frames import FrameBuilder


class YoutubeVos(FrameBuilder):
    """YouTube-VOS: every fifth frame annotated. `manual_dir` holds meta.json, JPEGImages/ and Annotations/."""

    kind = "youtube_vos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack YouTube-VOS so that manual_dir holds meta.json, JPEGImages/, Annotations/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2019"),
        tfds.core.BuilderConfig(name="2018"),
    ]

    def _find(self, root: Any) -> sources.Source:
        return sources.youtube_vos(Path(root), int(self.builder_config.name))
