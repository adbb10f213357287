"""The results folder of a run: masks, progress, and the tracker's saved states.

    OUTPUT/masks/                masks of the frames
    OUTPUT/progress.json         settings, stage, last finished frame, name of the tracker's state
    OUTPUT/state-STAGE-FRAME     the tracker's state after that frame
    OUTPUT/given/                masks drawn or loaded in the browser

Masks and the tracker's state are written before progress.json refers to them, so that a run killed at any moment can be
resumed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aot_jax.io.mask_sets.files import list_masks
from aot_jax.io.sources import Source
from aot_jax.runs import Run, RunError, keep_inputs

DRAWN = "given"  # folder of masks drawn or loaded in the browser
STAGES = ("forward", "backward", "done")
# Patterns of the files that --overwrite removes.
RESULTS = (
    *("masks/*.png", "state-*", "overlay.mp4"),
    *("coco.json", "coco_images/*", "binary/*/*", "mattes/*.*", "mattes/*/*"),
    *("DAVIS/*/480p/*/*.*", "DAVIS/ImageSets/2017/val.txt", "yolo/data.yaml", "yolo/*/*.*"),
)


@dataclass(frozen=True)
class Progress:
    """Progress of a run."""

    stage: str = "forward"  # one of `STAGES`
    frame: int | None = None  # last finished frame of the stage; None: the stage has not started
    state: str | None = None  # file with the tracker's state after that frame


def read_progress(run: Run) -> Progress:
    """Read the progress of a run.

    Raises:
        RunError: progress.json does not match the other files.
    """
    try:
        progress = Progress(**run.progress)
        expected = None if progress.state is None else state_name(progress.stage, progress.frame)
        if (
            progress.stage in STAGES
            and isinstance(progress.frame, int | None)
            and progress.state == expected
            and (expected is None or (run.folder / expected).exists())
        ):
            return progress
    except TypeError:
        pass
    raise RunError(f"{run.record} does not match the other files of its folder; start again with --overwrite")


def save_progress(
    run: Run, stage: str, frame: int | None = None, save_state: Callable[[Path], None] | None = None
) -> None:
    """Record that the masks of `stage` up to `frame` are on disk; `save_state` writes the tracker's state to a path.

    Raises:
        OSError: a file cannot be written; the previous record stays.
    """
    state = None if save_state is None else state_name(stage, frame)
    if save_state is not None and state is not None:
        save_state(run.folder / state)
    run.save(asdict(Progress(stage, frame, state)))
    for old in run.folder.glob("state-*"):
        if old.name != state:
            old.unlink()


def state_name(stage: str, frame: int | None) -> str:
    """Return the file name of the tracker's state after a frame."""
    return f"state-{stage}-{frame}"


def keep_given(folder: Path, source: Source, masks: Sequence[str]) -> None:
    """Check that results replace neither the video nor its given masks, and that none lies among images of the video.

    Raises:
        RunError: they would; choose another folder.
    """
    images: Sequence[Path] = getattr(source, "paths", ())
    keep_inputs(folder, images, ("*", *RESULTS))
    keep_inputs(folder, [*list_masks(masks), getattr(source, "path", folder)], RESULTS)


def mask_path(folder: Path, source: Source, index: int) -> Path:
    """Return the path of a frame's mask in the results folder."""
    return folder / "masks" / f"{source.label(index)}.png"
