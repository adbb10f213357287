"""Options of a run of `track.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aot_jax.network import NetworkChoice


@dataclass(frozen=True)
class PageOptions:
    """Address at which the page of `--browser` is served."""

    host: str = "127.0.0.1"
    port: int = 8765


@dataclass(frozen=True)
class TrackOptions:
    """Options of a run; see `track.py --help` for details."""

    network: NetworkChoice
    video: Sequence[str]  # one file, folder or glob, or several images
    masks: Sequence[str] = ()  # files or folders
    boxes: Sequence[str] = ()  # "x0,y0,x1,y1" in pixels
    mask_frame: int | None = None  # frame of the single mask or of the boxes; None: by name, else the first
    backward: bool = True  # also track frames before the first mask
    depth: int | None = None  # number of LSTT layers; None: all
    target_fps: float | None = None  # frames a second to reach by reducing depth; None: no target
    max_frames: int = 50  # most frames in the long-term memory; 0: no limit
    output: str | None = None  # folder; None: results/track/NAME
    output_height: int | None = None  # height of the masks in pixels; None: that of the frames
    exports: Sequence[str] = ()  # names of export formats
    overlay: bool = True  # write overlay.mp4
    fps: float | None = None  # frames a second of images; None: 24
    resume: bool = False  # continue the run in the output folder
    overwrite: bool = False  # start again in a folder with results
    save_every: int = 100  # frames between saved states
    quiet: bool = False  # show no progress bar

    def folder(self, name: str) -> Path:
        """Return the results folder of a video with this name."""
        return Path(self.output or Path("results") / "track" / name)
