"""Raw data sets by their published folder layouts: which videos, frames, masks and objects they hold.

Names of files only, no pixel is read. Frames are in the order of `aot_jax.io.frames.order_frames`.
"""

from collections.abc import Callable
from pathlib import Path

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

__all__ = [
    "LAYOUTS",
    "DataError",
    "Dataset",
    "FramePair",
    "ListedObject",
    "Video",
    "data_root",
    "davis",
    "find",
    "list_folders",
    "list_masks",
    "lvos",
    "mose",
    "numbering_hint",
    "own_videos",
    "read_names",
    "seen_categories",
    "static",
    "vost",
    "youtube_vos",
]

# What a config's data.datasets may name: (root, split) -> data set.
LAYOUTS: dict[str, Callable[[Path, str], Dataset]] = {
    "davis16": lambda root, split: davis(root, 2016, split),
    "davis17": lambda root, split: davis(root, 2017, split),
    "youtube_vos18": lambda root, split: youtube_vos(root, 2018, split),
    "youtube_vos19": lambda root, split: youtube_vos(root, 2019, split),
    "static": lambda root, split: static(root),
    "videos": lambda root, split: own_videos(root),
}


def find(name: str, root: Path, split: str = "train") -> Dataset:
    """List the data set of this name, as a config's data.datasets names it.

    Raises:
        DataError: it is not there, or there is no such name.
    """
    if name not in LAYOUTS:
        raise DataError(f"unknown dataset {name!r}; use {', '.join(LAYOUTS)} or generated")
    return LAYOUTS[name](root, split)
