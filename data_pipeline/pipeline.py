"""Batches of training clips, made in parallel by tf.data, or by a thread pool if TensorFlow is not installed."""

import contextlib
import re
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType

import numpy as np
from ml_collections import ConfigDict

from aot_jax.io.datasets import DataError
from aot_jax.start.cores import available_cores
from aot_jax.start.quiet_tensorflow import load_tensorflow
from data_pipeline.samples import Samples

Batch = dict[str, np.ndarray]


def make_batches(
    data: ConfigDict, seed: int, batch_size: int, start_step: int = 0, host: int = 0, hosts: int = 1
) -> Iterator[Batch]:
    """Return an endless iterator of batches.

    Args:
      data: `config.data`.
      seed: the run's random seed.
      batch_size: samples a step over all hosts, a multiple of `hosts`.
      start_step: steps already done, whose batches are skipped.
      host: index of this host.
      hosts: number of hosts.

    Returns:
      dicts of images (b', t, s, s, 3) uint8 RGB; masks (b', t, s, s) uint8, 0 background, 1 .. n objects,
      255 void; objects (b',) int32, n; index (b',) int64, the sample's number i. b' = batch_size / hosts.

    Raises:
      DataError: a field is wrong, or a dataset is missing, empty or broken; while iterating, a record cannot be read
        and `data.on_bad_file` is "stop".
    """
    if hosts < 1 or not 0 <= host < hosts or batch_size < 1 or batch_size % hosts:
        raise DataError(
            f"batch_size {batch_size} must be a positive multiple of hosts {hosts}, and 0 <= host {host} < hosts"
        )
    samples, workers = Samples(data, seed), data.workers or available_cores()
    # Batch k of all hosts holds samples k * batch_size .. (k + 1) * batch_size - 1, whatever the number of hosts.
    indices = range(start_step * batch_size + host, sys.maxsize, hosts)
    try:
        tf = load_tensorflow()
    except ImportError as error:
        print(f"clips are made in a pool of {workers} threads: TensorFlow does not start ({error})", file=sys.stderr)
        return thread_batches(samples, indices, batch_size // hosts, workers)
    return tensorflow_batches(tf, samples, indices, batch_size // hosts, workers)


def tensorflow_batches(tf: ModuleType, samples: Samples, indices: range, size: int, workers: int) -> Iterator[Batch]:
    """Yield batches of `size` samples with these indices, in order, made by tf.data."""
    shape = [samples.data.frames, samples.data.crop, samples.data.crop]
    types = {"images": (tf.uint8, [*shape, 3]), "masks": (tf.uint8, shape), "objects": (tf.int32, [])}

    def make(index: int) -> tuple[np.ndarray, np.ndarray, np.int32]:
        clip = samples(int(index))
        return clip.images, clip.masks, np.int32(clip.objects)

    def call(index):  # type: ignore[no-untyped-def]
        made = tf.numpy_function(make, [index], [kind for kind, _ in types.values()], stateful=False)
        named = zip(types.items(), made, strict=True)
        return {name: tf.ensure_shape(value, size) for (name, (_, size)), value in named} | {"index": index}

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = workers
    options.threading.max_intra_op_parallelism = 1
    # Hide GPUs from TensorFlow, which only feeds data and would take their memory.
    with contextlib.suppress(RuntimeError):  # raised if TensorFlow is already initialised
        tf.config.set_visible_devices([], "GPU")
    dataset = tf.data.Dataset.range(indices.start, indices.stop, indices.step)
    dataset = dataset.map(tf.autograph.experimental.do_not_convert(call), workers, deterministic=True)
    dataset = dataset.batch(size, drop_remainder=True).prefetch(samples.data.prefetch).with_options(options)
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:  # its message is a traceback with the reason in it
        reason = re.search(r"DataError: (.*)", error.message)
        raise DataError(reason[1] if reason else error.message.splitlines()[0]) from error


def thread_batches(samples: Samples, indices: range, size: int, workers: int) -> Iterator[Batch]:
    """Yield batches of `size` samples with these indices, in order, made by threads `data.prefetch` batches ahead."""
    shape = (size, samples.data.frames, samples.data.crop, samples.data.crop)

    def fill(batch: Batch, k: int, index: int) -> None:
        batch["images"][k], batch["masks"][k], batch["objects"][k] = samples(index)

    waiting: deque[tuple[Batch, list[Future]]] = deque()
    with ThreadPoolExecutor(workers, "clips") as pool:
        try:
            for start in range(0, len(indices) - size + 1, size):
                numbers = np.array(indices[start : start + size], np.int64)
                batch = {
                    "images": np.empty((*shape, 3), np.uint8),
                    "masks": np.empty(shape, np.uint8),
                    "objects": np.empty(size, np.int32),
                    "index": numbers,
                }
                waiting.append((batch, [pool.submit(fill, batch, k, i) for k, i in enumerate(numbers.tolist())]))
                if len(waiting) > samples.data.prefetch:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _finished(batch: Batch, futures: list[Future]) -> Batch:
    for future in futures:
        future.result()
    return batch
