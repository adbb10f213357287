"""The common part of the TFDS builders: one ArrayRecord record a frame, encoded bytes kept as they are.

A record holds `image` (the file's own JPEG or PNG bytes), `mask` (grey PNG of ids, see `data_pipeline.masks`), `video`
and `frame` (names). The builder's metadata holds what sampling needs without reading a record: for every video its
frames in order and each frame's object pixel counts, and the files that were left out with the reason.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath
from tqdm import tqdm

from data_pipeline.errors import DataError
from data_pipeline.masks import count_pixels, image_size, read_mask
from data_pipeline.sources import Frame, Source, Video


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it is stored."""

    name: str
    image: bytes  # JPEG or PNG
    mask: bytes  # 8-bit grey PNG of ids
    objects: dict[int, int]  # pixels of each id, 255 among them


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
        source = self._source or self._find(dl_manager.manual_dir)
        return {source.split: self._generate_examples(source)}

    def _generate_examples(self, source: Any) -> Iterator[tuple[int, dict]]:
        total = sum(len(video.frames) for video in source.videos)
        yield from self._store(((v.name, v.group, self._read(v)) for v in source.videos), total, source.root)

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
                if stored:
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

    def _read(self, video: Video) -> Iterator[EncodedFrame | None]:
        """Read a video's files, checking each; None stands for a frame that is not stored."""
        size = None
        for frame in video.frames:
            try:
                if frame.mask is None and self.kind == "videos":
                    yield None  # a user's frame without a mask is no mistake
                    continue
                encoded, size = _encode(video.name, frame, size)
                yield encoded
            except (DataError, OSError) as error:
                if self._on_bad_file == "stop":
                    raise DataError(f"{error}. To leave bad files out: --config.data.on_bad_file=skip") from error
                tqdm.write(f"left out: {error}")
                self._left_out.append({"file": f"{video.name}/{frame.name}", "why": str(error)})
                yield None


def _encode(video: str, frame: Frame, size: tuple[int, int] | None) -> tuple[EncodedFrame, tuple[int, int]]:
    if frame.image is None or frame.mask is None:
        raise DataError(f"{video}/{frame.name}: its {'mask' if frame.image else 'image'} file is missing")
    image, mask = frame.image.read_bytes(), frame.mask.read_bytes()
    shape = image_size(image, str(frame.image))
    ids, mask = read_mask(mask, str(frame.mask))
    if ids.shape != shape:
        raise DataError(f"{frame.mask}: {_wh(ids.shape)} pixels, but its image has {_wh(shape)}")
    if size is not None and shape != size:
        raise DataError(f"{frame.image}: {_wh(shape)} pixels, but the video's other frames have {_wh(size)}")
    return EncodedFrame(frame.name, image, mask, count_pixels(ids)), shape


def _wh(shape: tuple[int, ...] | np.ndarray) -> str:
    return f"{shape[1]}x{shape[0]}"
