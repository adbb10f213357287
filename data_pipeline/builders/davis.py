"""TFDS builder of DAVIS 2016 and 2017, from the official folders; called by `data_pipeline.prepare`."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_pipeline import sources
from data_pipeline.builders.frames import FrameBuilder


class Davis(FrameBuilder):
    """DAVIS: every frame annotated. `manual_dir` holds JPEGImages/, Annotations/ and ImageSets/."""

    kind = "davis"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack DAVIS so that manual_dir holds JPEGImages/, Annotations/ and ImageSets/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2017", description="several objects a video"),
        tfds.core.BuilderConfig(name="2016", description="one object a video"),
    ]

    def _find(self, root: Any) -> sources.Source:
        return sources.davis(Path(root), int(self.builder_config.name))
