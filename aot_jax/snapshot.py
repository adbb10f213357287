"""A tracker's state in one file, so that a job can stop and go on. Called by `tracker.py`.

An npz of plain arrays, nothing pickled: `meta` is JSON; `STREAM/memory/FIELD/LAYER`, `STREAM/logits`, `STREAM/latest/…`
and `STREAM/references/INDEX/…` are what each stream carries. bfloat16 arrays are stored as their 16-bit patterns.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from aot_jax.io.whole import whole
from aot_jax.memory import Memory
from aot_jax.stream import Reference, Stream

VERSION = 1
COUNTERS = ("frame", "last_written", "stored")


class SnapshotError(ValueError):
    """A file that holds no state that this tracker can go on from."""


class Snapshot:
    """An open state: `meta` as it was written, and the streams' arrays."""

    def __init__(self, path: Path, meta: dict, arrays: dict[str, np.ndarray]) -> None:
        self.meta = meta
        self._path = path
        self._arrays = arrays

    def restore(self, streams: Sequence[Stream]) -> None:
        """Put the saved state into new streams of the same settings."""
        for i, (stream, counters) in enumerate(zip(streams, self.meta["counters"], strict=True)):
            layers = stream.depth
            stream.memory = Memory(
                **{field.name: self._field(f"{i}/memory/{field.name}", layers) for field in fields(Memory)}
            )
            stream.logits = self._array(f"{i}/logits")
            stream.latest = self._arrays[f"{i}/latest/frame"], self._arrays[f"{i}/latest/labels"]
            for name in COUNTERS:
                setattr(stream, name, counters[name])
            stream.references = [
                Reference(index, *(self._arrays[f"{i}/references/{index}/{part}"] for part in ("frame", "labels")))
                for index in counters["references"]
            ]

    def _field(self, name: str, layers: int) -> object:
        if name in self._arrays:
            return self._array(name)
        return tuple(self._array(f"{name}/{layer}") for layer in range(layers))

    def _array(self, name: str) -> jnp.ndarray:
        array = self._arrays[name]
        return jnp.asarray(array.view(jnp.bfloat16) if array.dtype == np.uint16 else array)


def write_snapshot(path: str | Path, meta: dict, streams: Sequence[Stream]) -> None:
    """Write the state of streams and `meta` (JSON) to a file, which appears whole.

    Raises:
        OSError: if it cannot be written.
    """
    arrays, counters = {}, []
    for i, stream in enumerate(streams):
        for field in fields(Memory):
            value = getattr(stream.memory, field.name)
            if isinstance(value, tuple):
                arrays |= {f"{i}/memory/{field.name}/{layer}": x for layer, x in enumerate(value)}
            else:
                arrays[f"{i}/memory/{field.name}"] = value
        arrays[f"{i}/logits"] = stream.logits
        arrays[f"{i}/latest/frame"], arrays[f"{i}/latest/labels"] = stream.latest
        for reference in stream.references:
            arrays[f"{i}/references/{reference.index}/frame"] = reference.frame
            arrays[f"{i}/references/{reference.index}/labels"] = reference.labels
        own = {name: getattr(stream, name) for name in COUNTERS}
        counters.append(own | {"references": [reference.index for reference in stream.references]})
    meta = meta | {"version": VERSION, "counters": counters}
    plain = {name: np.asarray(x) for name, x in arrays.items()}
    plain = {name: x.view(np.uint16) if x.dtype == jnp.bfloat16 else x for name, x in plain.items()}
    with whole(Path(path)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, meta=np.array(json.dumps(meta)), **plain)


@contextmanager
def read_snapshot(path: str | Path) -> Iterator[Snapshot]:
    """Open a state; a file that is none, or breaks off, is an error wherever it shows.

    Raises:
        SnapshotError: naming the file and what is wrong.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = dict(file)
        meta = json.loads(str(arrays.pop("meta")))
        if meta.get("version") != VERSION:
            raise SnapshotError(f"{path} is of version {meta.get('version')}, but this program reads version {VERSION}")
        yield Snapshot(path, meta, arrays)
    except SnapshotError:
        raise
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
        raise SnapshotError(f"{path} is no saved state of a tracker: {error}") from error
