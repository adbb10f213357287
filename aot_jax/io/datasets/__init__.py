"""List the videos, frames, masks and objects of raw data sets in their published folder layouts.

Only file names are read; `detect` also reads some image headers. Frames are sorted by `aot_jax.io.frames.order_frames`.
"""

from collections.abc import Callable
from pathlib import Path

from aot_jax.io.datasets.detect import detect
from aot_jax.io.datasets.folders import davis, mose, own_videos, static, vost
from aot_jax.io.datasets.listing import (
    DataError,
    Dataset,
    FramePair,
    ListedObject,
    Video,
    data_root,
    list_folders,
    list_masks,
    numbering_hint,
    read_names,
)
from aot_jax.io.datasets.meta_json import lvos, seen_categories, youtube_vos

# Data sets by their name in a config's data.datasets: (root, split) -> data set.
LAYOUTS: dict[str, Callable[[Path, str], Dataset]] = {
    "davis16": lambda root, split: davis(root, 2016, split),
    "davis17": lambda root, split: davis(root, 2017, split),
    "youtube_vos18": lambda root, split: youtube_vos(root, 2018, split),
    "youtube_vos19": lambda root, split: youtube_vos(root, 2019, split),
    "static": lambda root, split: static(root),
    "videos": lambda root, split: own_videos(root),
}


def find(name: str, root: Path, split: str = "train") -> Dataset:
    """List the data set with this name in a config's data.datasets.

    Raises:
        DataError: the name is unknown, or the files are missing.
    """
    if name not in LAYOUTS:
        raise DataError(f"unknown dataset {name!r}; use {', '.join(LAYOUTS)} or generated")
    return LAYOUTS[name](root, split)
