"""Read the encoded frames of prepared sets, from records or raw files; safe to use from many threads."""

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import logging

from aot_jax.io.datasets import DataError
from aot_jax.start.quiet_tensorflow import load_tensorflow

# ArrayRecord options without read-ahead: access is random.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


@dataclass(frozen=True)
class PreparedSet:
    """A data set that is ready to be read."""

    name: str
    kind: str  # davis, youtube_vos, static, videos or generated
    folder: Path  # folder of the records (`tfds.builder_from_directory` opens it), or of `scan.py`'s index
    files: tuple[Path, ...]  # ArrayRecord files, in record order
    lengths: tuple[int, ...]  # records in each
    videos: tuple[dict, ...]  # name, frames and objects, see `Walk.found`
    left_out: tuple[dict, ...]  # file or video, and the reason
    raw: tuple[tuple[Path, Path], ...] = ()  # image and mask file of each frame; empty: read records


class RecordReader:
    """Reads records of several prepared sets, numbered consecutively through all of them.

    Args:
      sets: prepared sets; record 0 is the first of the first set.
      on_bad_file: "stop" raises at a record that cannot be read, "skip" uses another of the same clip instead.
    """

    def __init__(self, sets: Sequence[PreparedSet], on_bad_file: str = "stop"):
        self.sets, self._on_bad_file = tuple(sets), on_bad_file
        self._names: list[str] = []
        self._places: list[tuple[Path, int | Path]] = []  # file and number of a record, or files of image and mask
        for data in sets:
            self._names += [f"{data.name} {video['name']}/{name}" for video in data.videos for name in video["frames"]]
            self._places += data.raw
            for path, length in zip(data.files, data.lengths, strict=True):
                self._places += [(path, position) for position in range(length)]
        # Readers are not thread-safe in every version of the library: each file has a stack of idle readers, and a
        # thread takes one or opens another.
        self._idle: defaultdict[Path, list] = defaultdict(list)
        self._lock = threading.Lock()
        self._warned: set[int] = set()
        self.bytes_read = 0  # bytes of encoded frames, for bench/data.py

    def read(self, records: np.ndarray) -> list[tuple[bytes, bytes]]:
        """Read records.

        Args:
          records: (t,) int64 record numbers.

        Returns:
          the encoded image (JPEG or PNG) and mask (8-bit grey PNG) of each.

        Raises:
          DataError: a record cannot be read and `on_bad_file` is "stop", or none of the records can be read.
        """
        found: list[tuple[bytes, bytes] | None] = []
        failure: DataError | None = None
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
                failure = error
        instead = next((data for data in found if data is not None), None)
        if instead is None:
            raise DataError(f"none of the records of a clip can be read; the last one: {failure}") from failure
        with self._lock:
            self.bytes_read += sum(len(part) for data in found if data is not None for part in data)
        return [instead if data is None else data for data in found]

    def name(self, record: int) -> str:
        """Return a record's set, video, frame and file, for error messages."""
        return f"{self._names[record]} in {self._places[record][0]}"

    def _read(self, record: int) -> tuple[bytes, bytes]:
        path, place = self._places[record]
        if isinstance(place, Path):
            return _read_files(path, place)
        try:
            data = self._read_record(path, place)
        except Exception as error:  # its C++ layer raises many types
            raise DataError(
                f"{self.name(record)}, record {place}: cannot be read ({error}); "
                "delete its folder, and the set is prepared anew"
            ) from error
        held = load_tensorflow().train.Example.FromString(data).features.feature
        return held["image"].bytes_list.value[0], held["mask"].bytes_list.value[0]

    def _read_record(self, path: Path, position: int) -> bytes:
        from array_record.python.array_record_module import ArrayRecordReader

        try:
            reader = self._idle[path].pop()
        except IndexError:
            reader = ArrayRecordReader(str(path), options=_OPTIONS, file_reader_buffer_size=32768)
        (data,) = reader.read([position])
        self._idle[path].append(reader)
        return data


def _read_files(image: Path, mask: Path) -> tuple[bytes, bytes]:
    try:
        return image.read_bytes(), mask.read_bytes()
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}); check the set and start again"
        ) from error
