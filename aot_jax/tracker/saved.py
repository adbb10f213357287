"""A tracker's state in one file, so that a job can stop and continue later.

An npz of plain arrays, nothing pickled: `meta` is JSON; `STREAM/PATH` are the leaves of each stream's state, by their
paths in the tree. bfloat16 arrays are stored as their 16-bit patterns.
"""

import functools
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.io.files import atomic_write
from aot_jax.models.aot import AOT
from aot_jax.network import Model, param_shapes
from aot_jax.propagate import begin, encode, step
from aot_jax.settings import differences
from aot_jax.tracker.checks import TrackError
from aot_jax.tracker.objects import Slots
from aot_jax.tracker.options import TrackerOptions
from aot_jax.tracker.stream import Picture, Stream, StreamState
from aot_jax.tracker.tta import States, Streams

VERSION = 3


def write_state(path: str | Path, model: Model, options: TrackerOptions, slots: Slots, states: States) -> None:
    """Write the state of a tracker to a file, atomically.

    Raises:
        OSError: if it cannot be written.
    """
    references = [len(state.references) for state in states]
    pairs = list(slots.of.items())
    meta = {"version": VERSION, "settings": _settings(model, options), "slots": pairs, "references": references}
    plain = {name: np.asarray(x) for i, state in enumerate(states) for name, x in _leaves(i, state).items()}
    stored: dict[str, Any] = {name: x.view(np.uint16) if x.dtype == jnp.bfloat16 else x for name, x in plain.items()}
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez(file, meta=np.array(json.dumps(meta)), **stored)


def read_state(path: str | Path, model: Model, options: TrackerOptions) -> tuple[Slots, Streams, States]:
    """Read the state of a tracker of the same network and options.

    Raises:
        TrackError: if the file is not such a state, or is damaged; the message names the file and the fault.
    """
    with _opened(Path(path)) as (meta, arrays):
        if different := differences(meta["settings"], _settings(model, options)):
            raise TrackError(f"{path} is the state of another tracker: {'; '.join(different)}")
        height, width, _ = arrays["0/latest/frame"].shape
        slots = Slots(model.config.model.identities).restore(meta["slots"])
        streams = options.open_streams(model, (height, width))
        counts = zip(streams, meta["references"], strict=True)
        states = tuple(_restore(i, arrays, stream, slots.groups, int(n)) for i, (stream, n) in enumerate(counts))
    return slots, streams, states


def _settings(model: Model, options: TrackerOptions) -> dict[str, object]:
    """Return the settings that a saved state depends on, as JSON values."""
    return {
        "network": model.config.name,
        "weights": model.checksum,
        "dtype": str(np.dtype(model.module.dtype)),
        **asdict(options),
        "augmentations": [list(pair) for pair in options.augmentations],
    }


@contextmanager
def _opened(path: Path) -> Iterator[tuple[dict, dict[str, np.ndarray]]]:
    """Open a file and yield its meta and arrays; any error inside the context becomes a TrackError."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in file.zip.infolist()):
                raise ValueError("it is compressed")  # it could unpack to any size
            arrays = dict(file)
        meta = json.loads(str(arrays.pop("meta")))
        if meta.get("version") != VERSION:
            raise TrackError(
                f"{path} is of version {meta.get('version')}, but this program reads version {VERSION}; "
                "go on with the program that wrote it"
            )
        yield meta, arrays
    except TrackError:
        raise
    except Exception as error:  # a damaged file can raise almost any error
        raise TrackError(f"{path} is not a saved state of a tracker: {error}") from error


def _restore(i: int, arrays: Mapping[str, np.ndarray], stream: Stream, groups: int, references: int) -> StreamState:
    """Rebuild the state of stream `i` from its arrays.

    Raises:
        Exception: if the arrays do not fit the stream, or the number of groups or of references.
    """
    frame = arrays[f"{i}/latest/frame"].shape
    sizes = (frame[:2], stream.view.output)  # valid sizes of labels; those of the first frame have its size

    def picture(name: str) -> Picture:
        labels = arrays[f"{i}/{name}/labels"].shape
        shapes = ((), np.int64), (frame, np.uint8), (labels if labels in sizes else sizes[1], np.int32)
        leaves: list[Any] = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
        return Picture(*leaves)

    capacity = arrays[f"{i}/memory/long_frame"].size
    memory, logits = _shapes(stream.model.module, stream.depth, stream.view.size, groups, capacity)
    names = [f"references/{n}" for n in range(references)]
    wanted = StreamState(memory, logits, picture("latest"), tuple(picture(name) for name in names))
    found = {}
    for name, shape in _leaves(i, wanted).items():
        x = arrays[name]
        found[name] = x = x.view(jnp.bfloat16) if x.dtype == np.uint16 else x
        if (x.shape, x.dtype) != (shape.shape, shape.dtype):
            raise ValueError(f"{name} is {x.dtype}{list(x.shape)}, not {shape.dtype}{list(shape.shape)}")
    state = jax.tree.unflatten(jax.tree.structure(wanted), found.values())
    pictures = [replace(picture, index=int(picture.index)) for picture in (*state.references, state.latest)]
    *given, latest = (picture.index for picture in pictures)
    kept = state.memory.long_frame.tolist()
    if sorted(given) != given or not {*given} <= {*kept} or max(kept) != stream.last_kept(given[-1], latest):
        raise ValueError("its memory lacks frames")
    if any(x.labels.min() < 0 or x.labels.max() > groups * stream.model.config.model.identities for x in pictures):
        raise ValueError("it holds labels that no object has")
    memory, logits = jax.device_put((state.memory, state.logits))
    return StreamState(memory, logits, pictures[-1], tuple(pictures[:-1]))


def _leaves(i: int, state: StreamState) -> dict[str, Any]:
    """Return the leaves of stream `i` by name."""
    paths = jax.tree.leaves_with_path(state)
    return {f"{i}/{jax.tree_util.keystr(path, simple=True, separator='/')}": x for path, x in paths}


@functools.lru_cache(maxsize=32)
def _shapes(module: AOT, depth: int, size: tuple[int, int], groups: int, capacity: int) -> tuple[Any, Any]:
    """Return shapes and types of the memory of `capacity` slots and of the logits, for images of one size."""

    def run(params: dict, image: jax.Array, masks: jax.Array) -> tuple:
        logits, frame_kv = step(module, params, None, encode(module, params, image), mask=masks, depth=depth)
        return begin(module, params, frame_kv, masks, capacity), logits

    image, masks = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32), jax.ShapeDtypeStruct((groups, *size), jnp.int32)
    memory, logits = jax.eval_shape(run, param_shapes(module), image, masks)
    return memory, logits
