"""TFDS builders: raw folders or procedural videos -> one ArrayRecord record a frame, with the encoded bytes unchanged.

A record holds `image` (the file's JPEG or PNG bytes), `mask` (grey PNG of ids, see `data_pipeline.frames`), `video` and
`frame` (names). The metadata lets sampling run without reading a record: each video's frames in order, each frame's
pixels per object, and the files and videos left out, with the reason.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from aot_jax.io import datasets
from aot_jax.io.datasets import Dataset
from aot_jax.io.generated import Recipe
from data_pipeline.walk import Walk


class FrameBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes frames in video order; a subclass names the layout.

    Args:
      source: what to store; None: the data set in the download manager's `manual_dir`.
      on_bad_file: "stop" or "skip", see `Walk`.
    """

    VERSION = tfds.core.Version("1.0.0")
    layout = ""  # name in `datasets.LAYOUTS`, without the year, which the builder config names
    code_path = epath.Path(__file__)  # TFDS's default imports a package that TFDS does not declare

    def __init__(self, *, source: Dataset | Recipe | None = None, on_bad_file: str = "stop", **kwargs: Any) -> None:
        self._source, self._on_bad_file = source, on_bad_file
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                "video": tfds.features.Text(),
                "frame": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, features=features, disable_shuffling=True, metadata=tfds.core.MetadataDict()
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        source = self._source
        if source is None:
            year = self.builder_config.name[-2:] if self.builder_config else ""
            source = datasets.find(f"{self.layout}{year}", Path(dl_manager.manual_dir))
        return {source.split if isinstance(source, Dataset) else "train": self._generate_examples(source)}

    def _generate_examples(self, source: Dataset | Recipe) -> Iterator[tuple[int, dict]]:
        walk = Walk(source, self._on_bad_file)
        for number, (video, frame) in enumerate(walk):
            yield number, {"image": frame.image, "mask": frame.mask, "video": video, "frame": frame.name}
        self.info.metadata.update(walk.found)


class Davis(FrameBuilder):
    """DAVIS: every frame annotated. `manual_dir` holds JPEGImages/, Annotations/ and ImageSets/."""

    layout = "davis"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack DAVIS so that manual_dir holds JPEGImages/, Annotations/ and ImageSets/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2017", description="several objects a video"),
        tfds.core.BuilderConfig(name="2016", description="one object a video"),
    ]


class YoutubeVos(FrameBuilder):
    """YouTube-VOS: every fifth frame annotated. `manual_dir` holds meta.json, JPEGImages/ and Annotations/."""

    layout = "youtube_vos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack YouTube-VOS so that manual_dir holds meta.json, JPEGImages/, Annotations/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2019"),
        tfds.core.BuilderConfig(name="2018"),
    ]


class StaticImages(FrameBuilder):
    """Images for the static stage; each is stored as a video of one frame, named SET/IMAGE."""

    layout = "static"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/SET/*.jpg and Annotations/SET/*.png for every set."


class OwnVideos(FrameBuilder):
    """A user's videos; frames without a mask are not stored."""

    layout = "videos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/VIDEO/*.jpg and Annotations/VIDEO/*.png."


class Generated(FrameBuilder):
    """Procedural videos; the same recipe gives the same bytes."""

    def __init__(self, *, source: Recipe | None = None, **kwargs: Any) -> None:
        super().__init__(source=source or Recipe(), **kwargs)
