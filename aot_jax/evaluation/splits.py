"""The splits that `eval.py` knows, by name.

`trees.py` finds DAVIS and folders like it, `youtubevos.py` YouTube-VOS.
"""

import os
from pathlib import Path

from aot_jax.evaluation import trees, youtubevos
from aot_jax.evaluation.layout import Sequence, Split, SplitError
from aot_jax.io import generated
from aot_jax.start import cache_folder

__all__ = ["SPLITS", "Sequence", "Split", "SplitError", "data_root", "load_split"]

SPLITS = ("davis16", "davis17", "davis17_testdev", "youtubevos18", "youtubevos19", "generated", "folder")


def data_root(data: str | Path | None) -> Path:
    """Return the folder of datasets: `data`, else $VOS_DATA, else ./data."""
    return Path(data or os.environ.get("VOS_DATA") or "data").expanduser()


def load_split(name: str, data: str | Path | None = None, resolution: str = "480p", all_frames: bool = False) -> Split:
    """Find the files of a split.

    Args:
        name: one of SPLITS.
        data: folder that holds DAVIS/ and YouTubeVOS/, or that is one of them; for `folder` the tree itself; None:
            $VOS_DATA or ./data.
        resolution: of DAVIS: 480p, or Full-Resolution, whose results are written and scored at 480p all the same.
        all_frames: of YouTube-VOS: run over the videos at 30 frames a second, of which every fifth counts.

    Raises:
        SplitError: names the file looked for, the layout wanted and where the set is published.
    """
    if name not in SPLITS:
        raise SplitError(f"there is no split {name!r}; there are {', '.join(SPLITS)}")
    if all_frames and not name.startswith("youtubevos"):
        raise SplitError(f"split {name} has no other frames: leave --all_frames out; youtubevos18 and 19 take it")
    if name == "generated":
        recipe = generated.HELD_OUT
        size = f"{recipe.videos}x{recipe.frames}-{recipe.height}x{recipe.width}"
        folder = cache_folder() / f"generated-{recipe.seed}-{size}"
        generated.write_davis_tree(recipe, folder)
        return trees.listed(name, folder, "480p", "2017/val.txt")
    if name == "folder":
        return trees.folder(data_root(data))
    if name.startswith("youtubevos"):
        return youtubevos.youtubevos(name, data_root(data), all_frames)
    return trees.davis(name, data_root(data), resolution)
