"""The index for sampling: the videos of a mixture, their frames and object pixels, as flat arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aot_jax.io.datasets import DataError
from aot_jax.typing import VOID
from data_pipeline.records import PreparedSet


@dataclass(frozen=True)
class SequenceTable:
    """Index of V videos with F frames in all; an epoch has N places."""

    places: np.ndarray  # (N,) int32: video at each place of an epoch; videos of a repeated set occur several times
    first: np.ndarray  # (V,) int32: first frame of a video
    length: np.ndarray  # (V,) int32: frames of a video
    peers_first: np.ndarray  # (V,) int32: first video of the same dataset
    peers: np.ndarray  # (V,) int32: videos in the same dataset
    max_gap: np.ndarray  # (V,) int32: largest step between sampled frames, in annotated frames
    still: np.ndarray  # (V,) bool: one image of a set of still images
    record: np.ndarray  # (F,) int64: record number of each frame, counted through all prepared sets
    pixels: np.ndarray  # (F,) int32: foreground pixels
    ids: np.ndarray  # (F, 4) int64: set of object ids, as 256 bits


def build_table(
    sets: list[PreparedSet], repeats: list[int], max_gap: dict[str, int], clips: bool
) -> tuple[SequenceTable, list[str]]:
    """Build the index of several prepared sets.

    Args:
      sets: the sets, in the mixture's order.
      repeats: how often an epoch visits each video of a set, >= 1.
      max_gap: largest step between sampled frames, in annotated frames, for each kind of set.
      clips: for video clips: a video needs two annotated frames, a still image one.

    Returns:
      the table, and a line for every video left out, with the reason.

    Raises:
      DataError: nothing is left of a set, or a repeat is not a positive integer.
    """
    kept: list[tuple[int, list[dict[int, int]]]] = []  # record of the first frame, and each frame's object pixels
    sizes: list[int] = []  # videos kept of each set
    left_out, places, record = [], [], 0
    for data, repeat in zip(sets, repeats, strict=True):
        if not isinstance(repeat, int) or repeat < 1:
            raise DataError(f"dataset {data.name!r} is repeated {repeat!r} times; use a whole number from 1 up")
        start = len(kept)
        shortest = 2 if clips and data.kind != "static" else 1
        for video in data.videos:
            counts = [object_pixels(frame) for frame in video["objects"]]
            if why := why_left_out(counts, shortest):
                left_out.append(f"{data.name}: {video['name']} {why}")
            else:
                kept.append((record, counts))
            record += len(counts)
        if len(kept) == start:
            reasons = "; ".join(left_out[-3:])
            raise DataError(f"dataset {data.name!r} ({data.folder}) has no video to train on: {reasons}")
        sizes.append(len(kept) - start)
        places += list(range(start, len(kept))) * repeat
    size, length = np.array(sizes, np.int32), np.array([len(counts) for _, counts in kept], np.int32)
    frames = [objects for _, counts in kept for objects in counts]
    ids = np.zeros((len(frames), 256), bool)
    for row, objects in zip(ids, frames, strict=True):
        row[list(objects)] = True
    table = SequenceTable(
        places=np.array(places, np.int32),
        first=np.cumsum(length, dtype=np.int32) - length,
        length=length,
        peers_first=np.repeat(np.cumsum(size, dtype=np.int32) - size, size),
        peers=np.repeat(size, size),
        max_gap=np.repeat(np.array([max_gap[data.kind] for data in sets], np.int32), size),
        still=np.repeat([data.kind == "static" for data in sets], size),
        record=np.concatenate([first + np.arange(len(counts), dtype=np.int64) for first, counts in kept]),
        pixels=np.array([sum(objects.values()) for objects in frames], np.int32),
        ids=np.packbits(ids, axis=1, bitorder="little").view(np.int64),
    )
    return table, left_out


def object_pixels(pixels: Mapping[Any, int]) -> dict[int, int]:
    """Return the pixels per object of a frame, without void; ids may be texts, as JSON stores them."""
    return {int(i): n for i, n in pixels.items() if int(i) != VOID}


def why_left_out(frames: Sequence[Mapping[int, int]], shortest: int) -> str:
    """Return why a video cannot be trained on, from the `object_pixels` of its frames; empty if it can."""
    if len(frames) < shortest:
        return f"has {len(frames)} annotated frame(s), a clip needs {shortest}"
    return "" if any(frames) else "has no annotated object"
