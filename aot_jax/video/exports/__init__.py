"""Export the masks of a video to formats of other tools, frame by frame."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame
from aot_jax.video.exports.binary import export_binary
from aot_jax.video.exports.coco import export_coco
from aot_jax.video.exports.davis import export_davis
from aot_jax.video.exports.mattes import export_mattes, export_prores
from aot_jax.video.exports.yolo import export_yolo

# Writers by name of the format: context managers of (results folder, video, ids of all objects). Each yields a function
# that writes a frame and its labels (h, w) int32, called in order, with labels of one size. Files are completed on
# leaving, unless an exception was raised.
EXPORTS: dict[
    str, Callable[[Path, Source, tuple[int, ...]], AbstractContextManager[Callable[[Frame, np.ndarray], None]]]
] = {
    "binary": export_binary,
    "coco": export_coco,
    "davis": export_davis,
    "mattes": export_mattes,
    "prores": export_prores,
    "yolo": export_yolo,
}
