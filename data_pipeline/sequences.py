"""The index that sampling draws from: every sequence of a mixture and what its masks hold, as flat arrays.

`pipeline.py` builds one from prepared sets. It is all that a draw needs: no image is read to choose frames.
"""

from dataclasses import dataclass

import numpy as np

from data_pipeline.errors import DataError
from data_pipeline.masks import VOID
from data_pipeline.prepare import PreparedSet


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
    record: np.ndarray  # (F,) int64: record of each frame, counted through all prepared sets
    pixels: np.ndarray  # (F,) int32: foreground pixels
    ids: np.ndarray  # (F, 4) int64: set of object ids, as 256 bits
    names: tuple[str, ...]  # of the videos


def build_table(
    sets: list[PreparedSet], repeats: list[int], max_gap: dict[str, int], shortest: int
) -> tuple[SequenceTable, list[str]]:
    """Join prepared sets.

    Args:
      sets: in the mixture's order.
      repeats: how often an epoch visits each sequence of a set, >= 1.
      max_gap: frames, for each kind of set.
      shortest: a video with fewer annotated frames is left out (2 for clips in time).

    Returns:
      the table, and a line for every video left out, with the reason.

    Raises:
      DataError: nothing is left of a set, or a repeat is not a positive integer.
    """
    videos, left_out, record, places = [], [], 0, []
    for data, repeat in zip(sets, repeats, strict=True):
        if not isinstance(repeat, int) or repeat < 1:
            raise DataError(f"dataset {data.name!r} is repeated {repeat!r} times; use a whole number from 1 up")
        binary = _binary_groups(data)
        kept = []
        for video in data.videos:
            frames = len(video["frames"])
            counts = [_ids(objects, video["group"] in binary) for objects in video["objects"]]
            if frames < shortest:
                left_out.append(
                    f"{data.name}: {video['name']} has {frames} annotated frame(s), a clip needs {shortest}"
                )
            elif not any(counts):
                left_out.append(f"{data.name}: {video['name']} has no annotated object")
            else:
                kept.append((data, video, counts, record, video["group"] in binary))
            record += frames
        if not kept:
            reasons = "; ".join(left_out[-3:])
            raise DataError(f"dataset {data.name!r} ({data.folder}) has no video to train on: {reasons}")
        start = len(videos)
        places.extend(list(range(start, start + len(kept))) * repeat)
        videos.extend((*entry, start, len(kept)) for entry in kept)
    length = np.array([len(video["frames"]) for _, video, *_ in videos], np.int32)
    ids = np.zeros((int(length.sum()), 256), bool)
    pixels = np.zeros(len(ids), np.int32)
    first = np.cumsum(length, dtype=np.int32) - length
    for start, (_, _, counts, *_) in zip(first, videos, strict=True):
        for t, objects in enumerate(counts):
            ids[start + t, list(objects)] = True
            pixels[start + t] = sum(objects.values())
    table = SequenceTable(
        places=np.array(places, np.int32),
        first=first,
        length=length,
        peers_first=np.array([entry[5] for entry in videos], np.int32),
        peers=np.array([entry[6] for entry in videos], np.int32),
        max_gap=np.array([max_gap[entry[0].kind] for entry in videos], np.int32),
        binary=np.array([entry[4] for entry in videos]),
        record=np.concatenate([np.arange(e[3], e[3] + n, dtype=np.int64) for e, n in zip(videos, length, strict=True)]),
        pixels=pixels,
        ids=np.packbits(ids, axis=1, bitorder="little").view(np.int64),
        names=tuple(f"{entry[0].name}/{entry[1]['name']}" for entry in videos),
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
