"""What a person asks of a run over a video of their own."""

from dataclasses import dataclass

from aot_jax.network import NetworkChoice


@dataclass(frozen=True)
class PageOptions:
    """Where the page of `--browser` is served."""

    host: str = "127.0.0.1"
    port: int = 8765


@dataclass(frozen=True)
class TrackOptions:
    """The options of a run; `track.py --help` explains them at length."""

    network: NetworkChoice
    video: tuple[str, ...]  # one file, folder or glob, or several images
    masks: tuple[str, ...] = ()  # files or folders
    boxes: tuple[str, ...] = ()  # "x0,y0,x1,y1" in pixels
    mask_frame: int | None = None  # of the only mask, or the boxes; None: by name, else the first
    backward: bool = True  # also track frames before the first mask
    depth: int | None = None  # LSTT layers; None: all
    target_fps: float | None = None  # frames a second to hold, by giving up depth
    max_frames: int = 50  # in memory at most; 0: no limit
    output: str | None = None  # folder; None: results/track/NAME
    output_height: int | None = None  # pixels, of the masks; None: the frames'
    exports: tuple[str, ...] = ()  # names of formats
    overlay: bool = True  # write overlay.mp4
    fps: float | None = None  # of a folder of images
    resume: bool = False  # go on with the run in the output folder
    overwrite: bool = False  # begin anew in a folder that holds results
    save_every: int = 100  # frames between points to resume from
    quiet: bool = False  # show no progress bar
