"""TFDS builders: raw folders or procedural videos -> one ArrayRecord record a frame, encoded bytes kept as they are.

A record holds `image` (the file's own JPEG or PNG bytes), `mask` (grey PNG of ids, see `data_pipeline.masks`), `video`
and `frame` (names). The builder's metadata holds what sampling needs without reading a record: for every video its
frames in order and each frame's object pixel counts, and the files and videos that were left out with the reason.
"""

import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from PIL import Image
from tqdm import tqdm

from aot_jax.io import datasets
from aot_jax.io.datasets import Dataset, Video
from aot_jax.io.generated import Recipe, make_videos
from data_pipeline.errors import DataError
from data_pipeline.frames import EncodedFrame, Outcome, read_videos
from data_pipeline.masks import count_pixels


class FrameBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes frames in video order; a subclass says where they come from.

    Args:
      source: what to store; found in the download manager's `manual_dir` when not given.
      on_bad_file: "stop" raises at the first bad file, "skip" leaves it out, says so and notes it in the metadata.
    """

    VERSION = tfds.core.Version("1.0.0")
    kind = ""  # decides the largest gap between sampled frames
    layout = ""  # of `datasets.LAYOUTS`, without the year that the builder's config names
    code_path = epath.Path(__file__)  # TFDS's own look-up imports a package that TFDS does not declare

    def __init__(self, *, source: Dataset | None = None, on_bad_file: str = "stop", **kwargs: Any) -> None:
        if on_bad_file not in ("stop", "skip"):
            raise DataError(f"on_bad_file is {on_bad_file!r}; use 'stop' or 'skip'")
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
        return {source.split: self._generate_examples(source)}

    def _generate_examples(self, source: Any) -> Iterator[tuple[int, dict]]:
        total = sum(len(video.frames) for video in source.videos)
        videos = ((v.name, v.group, self._checked(v, frames)) for v, frames in read_videos(source, _tell))
        yield from self._store(videos, total, source.root)

    def _store(self, videos: Iterable, total: int, what: object) -> Iterator[tuple[int, dict]]:
        """Yield (record number, example) and fill the metadata; `videos` yields (name, group, encoded frames)."""
        self._left_out: list[dict[str, str]] = []
        listed, number = [], 0
        with tqdm(total=total, desc=f"prepare {what}", unit="frame", mininterval=0.5, dynamic_ncols=True) as bar:
            for name, group, frames in videos:
                stored = []
                for frame in frames:
                    bar.update()
                    if frame is None:
                        continue
                    stored.append(frame)
                    yield number, {"image": frame.image, "mask": frame.mask, "video": name, "frame": frame.name}
                    number += 1
                if not stored:
                    if self.kind != "static":  # there a video is one file, which has been told
                        why = f"{name}: no frame of this video has an image and a mask that can be used"
                        self._leave_out("video", name, why)
                    continue
                listed.append(
                    {
                        "name": name,
                        "group": group,
                        "frames": [frame.name for frame in stored],
                        "objects": [{str(k): v for k, v in frame.objects.items()} for frame in stored],
                    }
                )
        if not listed:
            raise DataError(f"{what}: no frame with a mask found; try: python -m data_pipeline.check {what}")
        self.info.metadata.update({"kind": self.kind, "videos": listed, "left_out": self._left_out})

    def _checked(self, video: Video, frames: Iterator[Outcome]) -> Iterator[EncodedFrame | None]:
        """Yield a video's frames; None stands for one that is not stored."""
        for pair, frame in zip(video.frames, frames, strict=True):
            if not isinstance(frame, DataError):
                yield frame
                continue
            if self._on_bad_file == "stop":
                raise DataError(f"{frame}. To leave bad files out: --config.data.on_bad_file=skip") from frame
            self._leave_out("file", f"{video.name}/{pair.name}", str(frame))
            yield None

    def _leave_out(self, what: str, name: str, why: str) -> None:
        tqdm.write(f"left out: {why}", file=sys.stderr)
        self._left_out.append({what: name, "why": why})


def _tell(note: str) -> None:
    tqdm.write(f"note: {note}", file=sys.stderr)


class Davis(FrameBuilder):
    """DAVIS: every frame annotated. `manual_dir` holds JPEGImages/, Annotations/ and ImageSets/."""

    kind = layout = "davis"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack DAVIS so that manual_dir holds JPEGImages/, Annotations/ and ImageSets/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2017", description="several objects a video"),
        tfds.core.BuilderConfig(name="2016", description="one object a video"),
    ]


class YoutubeVos(FrameBuilder):
    """YouTube-VOS: every fifth frame annotated. `manual_dir` holds meta.json, JPEGImages/ and Annotations/."""

    kind = layout = "youtube_vos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Unpack YouTube-VOS so that manual_dir holds meta.json, JPEGImages/, Annotations/."
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads this name)
        tfds.core.BuilderConfig(name="2019"),
        tfds.core.BuilderConfig(name="2018"),
    ]


class StaticImages(FrameBuilder):
    """Images for the static stage; each is stored as a video of one frame, named SET/IMAGE."""

    kind = layout = "static"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/SET/*.jpg and Annotations/SET/*.png for every set."


class OwnVideos(FrameBuilder):
    """A user's videos; frames without a mask are not stored."""

    kind = layout = "videos"
    MANUAL_DOWNLOAD_INSTRUCTIONS = "manual_dir holds JPEGImages/VIDEO/*.jpg and Annotations/VIDEO/*.png."


class Generated(FrameBuilder):
    """Procedural videos; the same recipe gives the same bytes."""

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
