"""Make batches of training clips; `aot_jax.training.loop` and `bench/data.py` call `make_dataset`.

Sample i is a pure function of (seed, i) and the prepared sets: every random number is a stateless draw folded with i.
So a run resumes at any step by number alone, and host h of n makes the samples with i mod n = h. Images leave as uint8
(a quarter of the bytes of float32 on the way to the device): normalise on the device.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging
from ml_collections import ConfigDict

from aot_jax.io.generated import Recipe
from data_pipeline import augment
from data_pipeline.errors import DataError
from data_pipeline.merge import merge
from data_pipeline.prepare import PreparedSet, prepare
from data_pipeline.records import RecordReader
from data_pipeline.sampling import Sampler, fold, uniform
from data_pipeline.sequences import SequenceTable, build_table

# TensorFlow feeds, JAX computes: keep TensorFlow off the accelerators, whose memory it would take.
with contextlib.suppress(RuntimeError):  # raised where the caller has already decided
    tf.config.set_visible_devices([], "GPU")

_PARTS = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "mask")}


def make_dataset(
    data: ConfigDict, *, seed: int, batch_size: int, start_step: int = 0, host: int = 0, hosts: int = 1
) -> tf.data.Dataset:
    """Make an endless dataset of batches.

    Args:
      data: `config.data`.
      seed: of everything random.
      batch_size: b, samples of a step over all hosts; a multiple of `hosts`.
      start_step: steps already done; the dataset goes on as if it had made them.
      host: number of this host.
      hosts: number of hosts.

    Returns:
      a dataset of dicts: images (b', t, s, s, 3) uint8 RGB; masks (b', t, s, s) uint8, 0 background, 1 .. n objects,
      255 void; objects (b',) int32, n; index (b',) int64, the sample's number i. b' = batch_size / hosts.

    Raises:
      DataError: a field is wrong, or a dataset is missing, empty or broken. While iterating, tf.errors.OpError that
        names the record which cannot be read, where `data.on_bad_file` is "stop"; see `iterate`.
    """
    if hosts < 1 or not 0 <= host < hosts or batch_size < 1 or batch_size % hosts:
        raise DataError(
            f"batch_size {batch_size} must be a positive multiple of hosts {hosts}, and 0 <= host {host} < hosts"
        )
    # Batch k of all hosts holds samples k * batch_size .. (k + 1) * batch_size - 1, whatever the number of hosts.
    indices = tf.data.Dataset.range(start_step * batch_size + host, tf.int64.max, hosts)
    dataset = map_samples(Samples(data, seed), indices, data.workers)
    return dataset.batch(batch_size // hosts, drop_remainder=True).prefetch(data.prefetch)


def iterate(dataset: tf.data.Dataset) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over batches as numpy arrays.

    Raises:
      DataError: a record cannot be read; it is named.
    """
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:  # holds the text of a traceback around the reason
        reason = re.search(r"DataError: (.*)", error.message)
        raise DataError(reason[1] if reason else error.message.splitlines()[0]) from error


def map_samples(samples: "Samples", indices: tf.data.Dataset, workers: int = 0) -> tf.data.Dataset:
    """Make the samples of these indices (int64 scalars), in their order, on so many threads (0: one a core)."""
    workers = workers or available_cores()
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = workers
    # Clips are independent: one thread each beats threads inside ops. It is also what makes samples bit-equal on any
    # machine size: Eigen rounds differently at the borders of what it gives each thread.
    options.threading.max_intra_op_parallelism = 1
    function = tf.autograph.experimental.do_not_convert(samples)
    return indices.map(function, num_parallel_calls=workers, deterministic=True).with_options(options)


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def open_sets(data: ConfigDict) -> list[PreparedSet]:
    """Open every dataset that `data.datasets` names, and prepare those that are not yet."""
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
            )
        )
    if not sets:
        raise DataError("data.datasets is empty; name at least one, such as (('davis17', 5), ('youtube_vos19', 1))")
    return sets


class Samples:
    """The pure function from a sample's number to the sample, for one `config.data` and seed."""

    def __init__(self, data: ConfigDict, seed: int) -> None:
        if data.stage not in ("video", "static"):
            raise DataError(f"data.stage is {data.stage!r}; use 'video' or 'static'")
        if data.frames < 2 or data.crop < 16 or not 1 <= data.max_objects <= 127:
            raise DataError(
                f"data.frames {data.frames} must be 2 or more, data.crop {data.crop} 16 or more, "
                f"data.max_objects {data.max_objects} within 1 .. 127"
            )
        self._data, self._seed = data, tf.constant([seed, 0], tf.int64)
        sets = open_sets(data)
        self.table, left_out = build_table(
            sets, [entry[1] for entry in data.datasets], dict(data.max_gap), shortest=2 if data.stage == "video" else 1
        )
        for line in left_out:
            logging.warning("left out: %s", line)
        self.reader = RecordReader(sets, data.on_bad_file)
        # A function of its own in the graph: traced once, called for the clip and for the one merged into it.
        signature = [tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int64)]
        self._clip = tf.function(self._make_clip, input_signature=signature, autograph=False)
        self.sampler = Sampler(
            self.table, data.frames, data.min_reference_pixels, data.reference_tries, data.consistency_tries
        )

    def __call__(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Make sample `index` (int64 scalar): images, masks, objects, index, without a batch axis."""
        data, seed = self._data, fold(fold(self._seed, 1), index)
        place = self.sampler.place(fold(self._seed, 0), index)
        clip = self._clip(place, fold(seed, 0))
        wanted = (uniform(fold(seed, 1)) < data.merge_probability) | (clip[2] == 0)

        def merged() -> augment.Clip:
            peer = self.sampler.peer(fold(seed, 2), place)
            other = self._clip(peer, fold(seed, 3))
            return merge(clip, other, fold(seed, 4), data.min_object_pixels, data.max_objects)

        images, masks, objects = tf.cond(wanted & self.sampler.has_peer(place), merged, lambda: clip)
        shape = [data.frames, data.crop, data.crop]
        images, masks = tf.ensure_shape(images, [*shape, 3]), tf.ensure_shape(masks, shape)
        return {"images": images, "masks": masks, "objects": objects, "index": index}

    def _make_clip(self, video: tf.Tensor, seed: tf.Tensor) -> augment.Clip:
        static = self._data.stage == "static"
        draw = self.sampler.still if static else self.sampler.clip
        images, masks = self._load(draw(fold(seed, 0), video), self.sampler.binary(video))
        if static:
            return augment.static(images[0], masks[0], fold(seed, 1), self._data)
        return augment.video(images, masks, fold(seed, 1), self._data)

    def _load(self, records: tf.Tensor, binary: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Read and decode records (t,): images (t, h, w, 3) and masks (t, h, w) uint8."""
        encoded = tf.io.parse_example(self.reader.read_tensor(records), _PARTS)
        images, masks = [], []
        for image, mask in zip(tf.unstack(encoded["image"]), tf.unstack(encoded["mask"]), strict=True):
            # Takes PNG, too. The accurate transform gives the pixels that Pillow and OpenCV give at inference.
            images.append(tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE"))
            masks.append(tf.io.decode_png(mask, channels=1)[..., 0])
        masks = tf.stack(masks)
        masks = tf.where(binary & (masks == 255), tf.constant(1, tf.uint8), masks)
        return tf.stack(images), masks


def describe(table: SequenceTable) -> str:
    """Summarise a mixture in one line, for a log."""
    return f"{len(table.first)} videos, {len(table.pixels)} frames, {len(table.places)} samples an epoch"
