"""A tracker's state in one file, so that a job can stop and go on.

An npz of plain arrays, nothing pickled: `meta` is JSON; `STREAM/memory/…`, `STREAM/logits`, `STREAM/latest/…`
and `STREAM/references/INDEX/…` are what each stream carries. bfloat16 arrays are stored as their 16-bit patterns.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.io.files import atomic_write
from aot_jax.propagate import begin, encode, step
from aot_jax.tracker.stream import Reference, Stream
from aot_jax.typing import Size

VERSION = 3
COUNTERS = ("frame", "last_written", "stored")


class SnapshotError(ValueError):
    """A file that holds no state that this tracker can go on from."""


class Snapshot:
    """An open state: `meta` as it was written, and the streams' arrays."""

    def __init__(self, path: Path, meta: dict, arrays: dict[str, np.ndarray]) -> None:
        self.meta = meta
        self._path = path
        self._arrays = arrays

    def restore(self, streams: Sequence[Stream], groups: int) -> None:
        """Put the saved state into new streams of the same settings.

        Raises:
            SnapshotError: the arrays are not those of `groups` groups of objects in these streams.
        """
        for i, (stream, counters) in enumerate(zip(streams, self.meta["counters"], strict=True)):
            wanted = _shapes(stream, groups, self._arrays[f"{i}/memory/long_frame"].size)
            found = jax.tree.unflatten(jax.tree.structure(wanted), map(self._array, _names(i, wanted)))
            self._check(found, wanted)
            memory, stream.logits = found["memory"], found["logits"]
            stream.memory = memory
            stream.latest = self._picture(f"{i}/latest", stream, groups)
            for name in COUNTERS:
                setattr(stream, name, int(counters[name]))
            stream.references = [
                Reference(index, *self._picture(f"{i}/references/{index}", stream, groups))
                for index in map(int, counters["references"])
            ]
            kept = {index for index in memory.long_frame.tolist() if index >= 0}
            if not {reference.index for reference in stream.references} <= kept:
                raise SnapshotError(f"{self._path} is no saved state of a tracker: its memory lacks references")

    def frame_size(self) -> Size:
        """Return (h, w) of the frame that was segmented last."""
        height, width, _ = self._arrays["0/latest/frame"].shape
        return height, width

    def _picture(self, name: str, stream: Stream, groups: int) -> tuple[np.ndarray, np.ndarray]:
        frame, labels = self._arrays[f"{name}/frame"], self._arrays[f"{name}/labels"]
        self._check(frame, jax.ShapeDtypeStruct((*self.frame_size(), 3), np.uint8))
        size = self.frame_size() if labels.shape == self.frame_size() else stream.view.output
        self._check(labels, jax.ShapeDtypeStruct(size, np.int32))
        if labels.min() < 0 or labels.max() > groups * stream.model.config.model.identities:
            raise SnapshotError(f"{self._path} is no saved state of a tracker: {name} holds labels that no object has")
        return frame, labels

    def _check(self, found: object, wanted: object) -> None:
        found, wanted = (jax.tree.map(lambda x: (x.shape, np.dtype(x.dtype).name), tree) for tree in (found, wanted))
        if found != wanted:
            raise SnapshotError(f"{self._path} is no saved state of a tracker: its arrays have other shapes or types")

    def _array(self, name: str) -> jnp.ndarray:
        array = self._arrays[name]
        return jnp.asarray(array.view(jnp.bfloat16) if array.dtype == np.uint16 else array)


def write_snapshot(path: str | Path, meta: dict, streams: Sequence[Stream]) -> None:
    """Write the state of streams and `meta` (JSON) to a file, which appears whole.

    Raises:
        OSError: if it cannot be written.
    """
    arrays: dict[str, Any] = {}
    counters = []
    for i, stream in enumerate(streams):
        state = {"memory": stream.memory, "logits": stream.logits}
        arrays |= zip(_names(i, state), jax.tree.leaves(state), strict=True)
        arrays[f"{i}/latest/frame"], arrays[f"{i}/latest/labels"] = stream.latest
        for reference in stream.references:
            arrays[f"{i}/references/{reference.index}/frame"] = reference.frame
            arrays[f"{i}/references/{reference.index}/labels"] = reference.labels
        own = {name: getattr(stream, name) for name in COUNTERS}
        counters.append(own | {"references": [reference.index for reference in stream.references]})
    meta = meta | {"version": VERSION, "counters": counters}
    plain: dict[str, Any] = {name: np.asarray(x) for name, x in arrays.items()}
    plain = {name: x.view(np.uint16) if x.dtype == jnp.bfloat16 else x for name, x in plain.items()}
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, meta=np.array(json.dumps(meta)), **plain)


@contextmanager
def read_snapshot(path: str | Path) -> Iterator[Snapshot]:
    """Open a state; a file that is none, or breaks off, is an error wherever it shows.

    Raises:
        SnapshotError: naming the file and what is wrong.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.zip.infolist()):
                raise SnapshotError(f"{path} is no saved state of a tracker: it is compressed")  # how far, who knows
            arrays = dict(file)
        meta = json.loads(str(arrays.pop("meta")))
        if meta.get("version") != VERSION:
            raise SnapshotError(
                f"{path} is of version {meta.get('version')}, but this program reads version {VERSION}; "
                "go on with the program that wrote it"
            )
        yield Snapshot(path, meta, arrays)
    except SnapshotError:
        raise
    except Exception as error:  # what a broken file raises depends on where it is broken
        raise SnapshotError(f"{path} is no saved state of a tracker: {error}") from error


def _names(stream: int, tree: Any) -> list[str]:
    """Name the leaves of a stream's tree by their paths."""
    paths = jax.tree.leaves_with_path(tree)
    return [f"{stream}/{jax.tree_util.keystr(path, simple=True, separator='/')}" for path, _ in paths]


def _shapes(stream: Stream, groups: int, capacity: int) -> dict[str, Any]:
    """Return what a stream's memory of `capacity` slots and its logits look like; nothing is computed."""
    module = stream.model.module

    def run(params: dict, image: jax.Array, masks: jax.Array) -> dict[str, Any]:
        logits, frame_kv = step(module, params, None, encode(module, params, image), mask=masks, depth=stream.depth)
        return {"memory": begin(module, params, frame_kv, masks, capacity), "logits": logits}

    image = jax.ShapeDtypeStruct((1, *stream.view.size, 3), jnp.float32)
    masks = jax.ShapeDtypeStruct((groups, *stream.view.size), jnp.int32)
    shapes: dict[str, Any] = jax.eval_shape(run, stream.model.params, image, masks)
    return shapes
