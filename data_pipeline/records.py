"""Read single records of prepared sets, from any thread; `pipeline.py` calls it inside tf.data.

ArrayRecord has no TensorFlow op, so tf.data calls into Python for raw bytes and nothing else: one call a clip, which
holds the interpreter for some tens of microseconds a record. Decoding stays in TensorFlow.
"""

import bisect
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging
from array_record.python import array_record_module

from data_pipeline.errors import DataError
from data_pipeline.prepare import PreparedSet

# No read-ahead: a neighbouring record is seldom the next one wanted.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class RecordReader:
    """Records of several prepared sets under one running number.

    Args:
      sets: prepared sets; record 0 is the first of the first set.
      on_bad_file: "stop" raises at a record that cannot be read, "skip" takes another frame of the same request.
    """

    def __init__(self, sets: Sequence[PreparedSet], on_bad_file: str = "stop"):
        self._sets, self._on_bad_file = tuple(sets), on_bad_file
        self._files = [(path, n) for data in sets for path, n in zip(data.files, data.lengths, strict=True)]
        self._ends = list(itertools.accumulate(n for _, n in self._files))
        # A reader must not be used by two threads at once in every version of the library: each file has a stack of
        # idle readers, as deep as the largest number of threads that ever read it at the same time.
        self._idle: list[list] = [[] for _ in self._files]
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        self.bytes_read = 0  # of records, for the benchmark

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, records: np.ndarray) -> np.ndarray:
        """Read records.

        Args:
          records: (t,) int64 numbers.

        Returns:
          (t,) objects: serialized tf.train.Example of `image`, `mask`, `video`, `frame`.

        Raises:
          DataError: a record cannot be read, and on_bad_file is "stop" or no record of the request can.
        """
        found: list[bytes | None] = []
        for record in records.tolist():
            try:
                found.append(self._read(record))
            except DataError as error:
                if self._on_bad_file == "stop":
                    raise
                if record not in self._warned:
                    logging.warning("skipped: %s", error)
                    self._warned.add(record)
                found.append(None)
        instead = next((data for data in found if data is not None), None)
        if instead is None:
            raise DataError(
                f"none of the records of {self.name(int(records[0]))} and its clip can be read: "
                "delete its folder, and the set is prepared anew"
            )
        with self._lock:
            self.bytes_read += sum(len(data) for data in found if data is not None)
        return np.array([instead if data is None else data for data in found], dtype=object)

    def read_tensor(self, records: tf.Tensor) -> tf.Tensor:
        """Read records (t,) int64 inside a TensorFlow graph; returns (t,) strings."""
        data = tf.numpy_function(self.read, [records], tf.string, stateful=False)
        data.set_shape(records.shape)
        return data

    def name(self, record: int) -> str:
        """Name a record: set, video, frame, and the file that holds it."""
        path, _, _ = self._where(record)
        for data in self._sets:
            for video in data.videos:
                if record < len(video["frames"]):
                    return f"{data.name} {video['name']}/{video['frames'][record]} in {path}"
                record -= len(video["frames"])
        raise IndexError(record)

    def _where(self, record: int) -> tuple[Path, int, int]:
        file = bisect.bisect_right(self._ends, record)
        path, length = self._files[file]
        return path, file, record - (self._ends[file] - length)

    def _read(self, record: int) -> bytes:
        path, file, position = self._where(record)
        try:
            idle = self._idle[file]
            try:
                reader = idle.pop()
            except IndexError:
                reader = array_record_module.ArrayRecordReader(
                    str(path), options=_OPTIONS, file_reader_buffer_size=32768
                )
            (data,) = reader.read([position])
        except Exception as error:  # the library raises what its C++ layer gives it
            raise DataError(
                f"{self.name(record)}, record {position}: cannot be read ({error}); "
                "delete its folder, and the set is prepared anew"
            ) from error
        idle.append(reader)
        return data
