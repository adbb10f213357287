"""The common part of the TFDS builders: one ArrayRecord record a frame, encoded bytes kept as they are.

A record holds `image` (the file's own JPEG or PNG bytes), `mask` (grey PNG of ids, see `data_pipeline.masks`), `video`
and `frame` (names). The builder's metadata holds what sampling needs without reading a record: for every video its
frames in order and each frame's object pixel counts, and the files that were left out with the reason.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from etils import epath

from data_pipeline.frames import check_on_bad_file, read_video, walk
from data_pipeline.sources import Source


class FrameBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes frames in video order; a subclass says where they come from.

    Args:
      source: what to store; found in the download manager's `manual_dir` when not given.
      on_bad_file: "stop" raises at the first bad file, "skip" leaves it out and notes it in the metadata.
    """

    VERSION = tfds.core.Version("1.0.0")
    kind = ""  # decides the largest gap between sampled frames
    _find: Callable[[Any], Source]  # lists the raw data in a folder; a method of each subclass that stores such data
    code_path = epath.Path(__file__)  # TFDS's own look-up imports a package that TFDS does not declare

    def __init__(self, *, source: Source | None = None, on_bad_file: str = "stop", **kwargs: Any) -> None:
        check_on_bad_file(on_bad_file)
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
        source = self._source or self._find(dl_manager.manual_dir)
        return {source.split: self._generate_examples(source)}

    def _generate_examples(self, source: Any) -> Iterator[tuple[int, dict]]:
        total = sum(len(video.frames) for video in source.videos)
        left_out: list[dict[str, str]] = []
        videos = ((v.name, v.group, read_video(v, self.kind, self._on_bad_file, left_out)) for v in source.videos)
        yield from self._store(videos, total, source.root, left_out)

    def _store(
        self, videos: Iterable, total: int, what: object, left_out: list[dict[str, str]]
    ) -> Iterator[tuple[int, dict]]:
        """Yield (record number, example) and fill the metadata; `videos` yields (name, group, encoded frames)."""
        listed: list[dict] = []
        for number, (video, frame) in enumerate(walk(videos, total, what, listed)):
            yield number, {"image": frame.image, "mask": frame.mask, "video": video, "frame": frame.name}
        self.info.metadata.update({"kind": self.kind, "videos": listed, "left_out": left_out})
