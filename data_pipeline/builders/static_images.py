"""TFDS builder of still images with masks, any pair JPEGImages/SET, Annotations/SET; called by `prepare`."""

from pathlib import Path
from typing import Any

from data_pipeline import sources
from data_pipeline.builders.frames import FrameBuilder


class StaticImages(FrameBuilder):
    """Images for the static stage; each is stored as a video of one frame, named SET/IMAGE."""

    kind = "static"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/SET/*.jpg and Annotations/SET/*.png for every set."

    def _find(self, root: Any) -> sources.Source:
        return sources.static(Path(root))
