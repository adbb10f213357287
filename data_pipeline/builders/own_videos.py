"""TFDS builder of a user's own videos: JPEGImages/VIDEO, Annotations/VIDEO; called by `data_pipeline.prepare`."""

from pathlib import Path
from typing import Any

from data_pipeline import sources
from data_pipeline.builders.frames import FrameBuilder


class OwnVideos(FrameBuilder):
    """A user's videos; frames without a mask are not stored."""

    kind = "videos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/VIDEO/*.jpg and Annotations/VIDEO/*.png."

    def _find(self, root: Any) -> sources.Source:
        return sources.own_videos(Path(root))
