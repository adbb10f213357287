"""Export masks as black-and-white PNGs, one folder per object."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from aot_jax.io.files import empty_folder
from aot_jax.io.images import write_image
from aot_jax.io.sources import Source
from aot_jax.io.video_reader import Frame


@contextmanager
def export_binary(folder: Path, source: Source, ids: tuple[int, ...]) -> Iterator[Callable[[Frame, np.ndarray], None]]:
    """Write `folder`/binary/ID/FRAME.png: grey, 255 on the object and 0 elsewhere."""
    folders = {i: folder / "binary" / str(i) for i in ids}
    for path in folders.values():
        empty_folder(path, "*.png")

    def write(frame: Frame, labels: np.ndarray) -> None:
        for i, path in folders.items():
            write_image(path / f"{source.label(frame.index)}.png", (labels == i).astype(np.uint8) * 255)

    yield write
