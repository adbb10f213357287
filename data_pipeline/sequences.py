"""The index that sampling draws from: every sequence of a mixture and what its masks hold, as flat arrays.

`pipeline.py` builds one from prepared sets. It is all that a draw needs: no image is read to choose frames.
"""

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.masks import VOID
from data_pipeline.records import PreparedSet


@dataclass(frozen=True)
class SequenceTable:
    """V videos with F frames in all; an epoch has N places."""

    places: np.ndarray  # (N,) int32: video of each place of an epoch, a repeated set in it several times
    first: np.ndarray  # (V,) int32: first frame of a video
    length: np.ndarray  # (V,) int32: its frames
    peers_first: np.ndarray  # (V,) int32: first video of the same dataset
    peers: np.ndarray  # (V,) int32: videos in the same dataset
    max_gap: np.ndarray  # (V,) int32: largest step between sampled frames
    binary: np.ndarray  # (V,) bool: its masks are 0/255 and 255 is the object
    still: np.ndarray  # (V,) bool: it is an image of a set of still images
    record: np.ndarray  # (F,) int64: record of each frame, counted through all prepared sets
    pixels: np.ndarray  # (F,) int32: foreground pixels
    ids: np.ndarray  # (F, 4) int64: set of object ids, as 256 bits
    names: tuple[str, ...]  # of the videos


@dataclass(frozen=True)
class _Kept:
    """A video that is trained on."""

    name: str
    kind: str
    binary: bool
    record: int  # of its first frame
    counts: list[dict[int, int]]  # object pixels of each frame
    peers_first: int
    peers: int


def build_table(
    sets: list[PreparedSet], repeats: list[int], max_gap: dict[str, int], clips: bool
) -> tuple[SequenceTable, list[str]]:
    """Join prepared sets.

    Args:
      sets: in the mixture's order.
      repeats: how often an epoch visits each sequence of a set, >= 1.
      max_gap: frames, for each kind of set.
      clips: for clips in time: a video needs two annotated frames.

    Returns:
      the table, and a line for every video left out, with the reason.

    Raises:
      DataError: nothing is left of a set, or a repeat is not a positive integer.
    """
    kept: list[_Kept] = []
    left_out, places, record = [], [], 0
    for data, repeat in zip(sets, repeats, strict=True):
        if not isinstance(repeat, int) or repeat < 1:
            raise DataError(f"dataset {data.name!r} is repeated {repeat!r} times; use a whole number from 1 up")
        binary, start, here = _binary_groups(data), len(kept), []
        shortest = 2 if clips and data.kind != "static" else 1
        for video in data.videos:
            is_binary = video["group"] in binary
            counts = [_ids(objects, is_binary) for objects in video["objects"]]
            if len(counts) < shortest:
                left_out.append(
                    f"{data.name}: {video['name']} has {len(counts)} annotated frame(s), a clip needs {shortest}"
                )
            elif not any(counts):
                left_out.append(f"{data.name}: {video['name']} has no annotated object")
            else:
                here.append((f"{data.name}/{video['name']}", data.kind, is_binary, record, counts))
            record += len(counts)
        if not here:
            reasons = "; ".join(left_out[-3:])
            raise DataError(f"dataset {data.name!r} ({data.folder}) has no video to train on: {reasons}")
        kept += [_Kept(*video, peers_first=start, peers=len(here)) for video in here]
        places += list(range(start, len(kept))) * repeat
    length = np.array([len(video.counts) for video in kept], np.int32)
    frames = [objects for video in kept for objects in video.counts]
    ids = np.zeros((len(frames), 256), bool)
    for row, objects in zip(ids, frames, strict=True):
        row[list(objects)] = True
    table = SequenceTable(
        places=np.array(places, np.int32),
        first=np.cumsum(length, dtype=np.int32) - length,
        length=length,
        peers_first=np.array([video.peers_first for video in kept], np.int32),
        peers=np.array([video.peers for video in kept], np.int32),
        max_gap=np.array([max_gap[video.kind] for video in kept], np.int32),
        binary=np.array([video.binary for video in kept]),
        still=np.array([video.kind == "static" for video in kept]),
        record=np.concatenate([video.record + np.arange(len(video.counts), dtype=np.int64) for video in kept]),
        pixels=np.array([sum(objects.values()) for objects in frames], np.int32),
        ids=np.packbits(ids, axis=1, bitorder="little").view(np.int64),
        names=tuple(video.name for video in kept),
    )
    return table, left_out


def _binary_groups(data: PreparedSet) -> set[str]:
    """Find the groups whose masks hold nothing but 0 and 255: there 255 is the one object, not void."""
    seen: dict[str, set[int]] = {}
    for video in data.videos:
        group = seen.setdefault(video["group"], set())
        for objects in video["objects"]:
            group.update(int(i) for i in objects)
    return {group for group, ids in seen.items() if ids == {VOID}}


def _ids(objects: dict[str, int], binary: bool) -> dict[int, int]:
    counts = {int(i): n for i, n in objects.items()}
    if binary:
        return {1: counts[VOID]} if VOID in counts else {}
    counts.pop(VOID, None)
    return counts
