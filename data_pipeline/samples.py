"""Training samples: a pure function from an index to a clip.

Sample i depends only on (seed, i) and the prepared sets: its random numbers come from a counter-based generator. So a
run can resume at any step, and host h of n makes the samples with i mod n = h. Images stay uint8, a quarter
of the size of float32, until the device normalises them.
"""

from pathlib import Path

import cv2
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from aot_jax.io.datasets import DataError
from aot_jax.io.generated import Recipe
from data_pipeline import augment
from data_pipeline.merge import Clip, merge
from data_pipeline.moving import moving
from data_pipeline.prepare import prepare
from data_pipeline.records import PreparedSet, RecordReader
from data_pipeline.sampling import Sampler, generator
from data_pipeline.sequences import SequenceTable, build_table


class Samples:
    """The samples of one `config.data` and seed.

    Args:
      data: `config.data`.
      seed: the run's random seed.
      raw: read raw files instead of records; None: only if records cannot be read.

    Raises:
      DataError: a field is wrong, or a dataset is missing, empty or broken.
    """

    def __init__(self, data: ConfigDict, seed: int, raw: bool | None = None) -> None:
        for name, values in (("stage", ("video", "static")), ("augmentation", ("v1", "v2"))):
            if data[name] not in values:
                raise DataError(f"data.{name} is {data[name]!r}; use {' or '.join(map(repr, values))}")
        if data.frames < 2 or data.crop < 16 or not 1 <= data.max_objects <= 127:
            raise DataError(
                f"data.frames {data.frames} must be 2 or more, data.crop {data.crop} 16 or more, "
                f"data.max_objects {data.max_objects} within 1 .. 127"
            )
        cv2.setNumThreads(1)  # clips are made in parallel, so OpenCV needs no threads of its own
        self.data, self.seed = data, seed
        sets = open_sets(data, raw)
        self.table, left_out = build_table(
            sets, [entry[1] for entry in data.datasets], dict(data.max_gap), clips=data.stage == "video"
        )
        for line in left_out:
            logging.warning("left out: %s", line)
        self.reader = RecordReader(sets, data.on_bad_file)
        self.sampler = Sampler(self.table, seed, data)

    def __call__(self, index: int) -> Clip:
        """Make sample `index`.

        Raises:
          DataError: a record cannot be read or decoded.
        """
        data, random, place = self.data, generator(self.seed, 1, index), self.sampler.place(index)
        if data.stage == "video" and self.table.still[place]:
            return self._moving(place, random)
        clip = self._clip(place, random)
        wanted = random.random() < data.merge_probability or clip.objects == 0
        if wanted and self.sampler.has_peer(place):
            other = self._clip(self.sampler.peer(random, place), random)
            clip = merge(clip, other, random, data.min_object_pixels, data.max_objects)
        return clip

    def _clip(self, video: int, random: np.random.Generator) -> Clip:
        if self.data.stage == "static":
            return augment.static(*self._still(video, random), random, self.data)
        images, masks = self._load(self.sampler.clip(random, video))
        return augment.video(images, masks, random, self.data)

    def _moving(self, video: int, random: np.random.Generator) -> Clip:
        image, mask = self._still(video, random)
        for _ in range(max(1, self.data.crop_tries)):
            clip = moving(image, mask, lambda: self._still(self.sampler.peer(random, video), random), random, self.data)
            if clip.objects:
                break
        return clip

    def _still(self, video: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        images, masks = self._load(self.sampler.still(random, video))
        return images[0], masks[0]

    def _load(self, records: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Read and decode records (t,); returns t images (h, w, 3) and t masks (h, w), uint8."""
        images, masks = [], []
        for record, (image, mask) in zip(records, self.reader.read(records), strict=True):
            # OpenCV uses libjpeg's accurate DCT, as inference does. Stored images are upright: ignore EXIF.
            pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            ids = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED)
            if pixels is None or ids is None:
                raise DataError(f"{self.reader.name(int(record))}: cannot be decoded; check the file and start again")
            images.append(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels))
            masks.append(ids)
        return images, masks


def open_sets(data: ConfigDict, raw: bool | None = None) -> list[PreparedSet]:
    """Open every dataset in `data.datasets`; prepare those that are not prepared yet."""
    root = Path(data.root).expanduser() if data.root else None
    folder = Path(data.prepared).expanduser() if data.prepared else None
    sets = []
    for entry in data.datasets:
        if not 2 <= len(entry) <= 3:
            raise DataError(f"data.datasets: {entry!r} should be (name, repeat) or (name, repeat, folder)")
        name, _, split = entry[0].partition(":")
        sets.append(
            prepare(
                name,
                split=split or "train",
                root=(root or Path()) / Path(entry[2]).expanduser() if len(entry) > 2 else root,
                folder=folder,
                on_bad_file=data.on_bad_file,
                recipe=Recipe(**data.generated) if name == "generated" else None,
                raw=raw,
            )
        )
    if not sets:
        raise DataError("data.datasets is empty; name at least one, such as (('davis17', 5), ('youtube_vos19', 1))")
    return sets


def describe(table: SequenceTable) -> str:
    """Describe a mixture in one line for the log."""
    return f"{len(table.first)} videos, {len(table.pixels)} frames, {len(table.places)} samples an epoch"
