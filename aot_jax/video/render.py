"""Write the overlay and the exports of a tracked video in a second pass over its frames.

A second pass is needed since masks may be made in backward order, and in several runs.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from aot_jax.errors import ReportedError
from aot_jax.io.masks import read_mask
from aot_jax.io.overlay import draw_overlay
from aot_jax.io.sound import Sound
from aot_jax.io.sources import Source, read_ahead
from aot_jax.io.video_reader import VideoReader
from aot_jax.io.video_writer import VideoWriter
from aot_jax.preprocess import resize_nearest
from aot_jax.video.exports import EXPORTS
from aot_jax.video.results import mask_path

UNEVEN = 1.5  # largest ratio of longest to shortest frame interval of a constant rate


class RenderError(ReportedError):
    """The overlay or an export cannot be encoded."""


class _Stopped(Exception):
    """Exits the writers without finishing their files."""


def render(
    source: Source,
    folder: Path,
    ids: tuple[int, ...],
    *,
    overlay: bool = True,
    exports: Sequence[str] = (),
    stopped: Callable[[], bool] = lambda: False,
    quiet: bool | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> bool:
    """Write `folder`/overlay.mp4 and the exports from the frames and the masks in `folder`.

    Args:
        source: the video.
        folder: results folder, with a mask for every frame.
        ids: ids of all objects.
        overlay: write the overlay.
        exports: names of export formats.
        stopped: called after each frame; True stops without an overlay.
        quiet: show no progress bar; None: show it on a terminal only.
        warn: called with each warning.

    Returns:
        True if finished, False if stopped.

    Raises:
        RenderError: a video cannot be encoded.
        FrameError, MaskError: a frame or mask cannot be read.
        OSError: a file cannot be written.
    """
    if not overlay and not exports:
        return True
    intervals: list[Fraction] = []  # shortest and longest time between frames
    try:
        with ExitStack() as stack:
            writer = stack.enter_context(_writer(source, folder, warn)) if overlay else None
            writes = [stack.enter_context(EXPORTS[name](folder, source, ids)) for name in exports]
            bar = stack.enter_context(
                tqdm(total=source.expected, unit="frame", desc="overlay", disable=quiet, dynamic_ncols=True)
            )
            before = None
            for frame in read_ahead(source.frames()):
                labels = read_mask(mask_path(folder, source, frame.index))
                for write in writes:
                    write(replace(frame, pixels=_at_size_of(labels, frame.pixels)), labels)
                if writer is not None:
                    large = np.asarray(resize_nearest(labels, frame.pixels.shape[:2]))
                    writer.write(draw_overlay(frame.pixels, large, void=None), frame.time, frame.duration)
                if before is not None:
                    intervals.append(frame.time - before)
                    intervals = [min(intervals), max(intervals)]
                before = frame.time
                bar.update()
                if stopped():
                    raise _Stopped
    except _Stopped:
        return False
    except OSError:
        raise
    except av.FFmpegError as error:
        raise RenderError(
            f"{folder}: a video cannot be encoded ({error}); leave out the overlay with --no_overlay, or the export"
        ) from error
    if intervals and intervals[-1] > UNEVEN * intervals[0]:
        slow, fast = float(1 / intervals[-1]), float(1 / intervals[0])
        warn(
            f"{source.name}: its frame rate varies, from {slow:.4g} to {fast:.4g} a second: masks are numbered "
            "by frame, and the overlay shows each frame at its own time"
        )
    return True


def _writer(source: Source, folder: Path, warn: Callable[[str], None]) -> VideoWriter:
    sound = Sound(source.path, source.start, warn) if isinstance(source, VideoReader) else None
    return VideoWriter(folder / "overlay.mp4", source.rate, source.pixel_aspect, sound)


def _at_size_of(labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Resize pixels (h, w, 3) to the size of the mask, by nearest neighbour."""
    if labels.shape == pixels.shape[:2]:
        return pixels
    return np.stack([np.asarray(resize_nearest(pixels[..., c], labels.shape)) for c in range(3)], axis=-1)
