"""Options of a tracker, checked and completed from its network's config."""

from dataclasses import dataclass

from aot_jax.network import Model
from aot_jax.preprocess import inference_size
from aot_jax.tracker.checks import TrackError
from aot_jax.tracker.programs import View
from aot_jax.tracker.stream import Stream
from aot_jax.tracker.tta import Streams
from aot_jax.typing import Size

MAX_SCALE = 10  # bound of the scales of test-time augmentation; a larger one is a mistake


@dataclass(frozen=True)
class TrackerOptions:
    """How a tracker runs its network; see `Tracker`."""

    output_height: int | None  # height of labels, in pixels; None: the frame's
    augmentations: tuple[tuple[float, bool], ...]  # scale and flip of each stream
    depth: int  # most LSTT layers that a frame runs
    gap: int  # frames between long-term memory writes; 0: references only
    max_frames: int  # most long-term memory frames; 0: no limit
    max_long_edge: float  # limit of the input's long edge before scaling, in pixels; 0: no limit
    max_short_edge: float  # limit of the input's short edge before scaling, in pixels; 0: no limit

    def open_streams(self, model: Model, size: Size) -> Streams:
        """Return the streams of a video whose frames have this size."""
        output = output_size(size, self.output_height)

        def view(scale: float, flip: bool) -> View:
            seen = inference_size(
                *size,
                max_long_edge=self.max_long_edge,
                max_short_edge=self.max_short_edge,
                scale=scale,
                align_corners=model.config.model.align_corners,
            )
            return View(seen, output, flip)

        return tuple(Stream(model, view(*pair), self.depth, self.gap, self.max_frames) for pair in self.augmentations)

    def check_depth(self, depth: int | None, scalable: bool) -> None:
        """Raise TrackError unless a frame may run at a depth; None: the tracker's own."""
        if depth not in (None, self.depth) and not (scalable and 1 <= depth < self.depth):
            allowed = f"1 .. {self.depth}" if scalable else f"{self.depth}"
            raise TrackError(
                f"depth is {depth}, but this tracker runs at {allowed}; it was made with depth={self.depth}"
            )


def output_size(size: Size, height: int | None) -> Size:
    """Return the size of labels that have this height, in pixels; None or 0: `size`, that of the frames."""
    return (height, -(-size[1] * height // size[0])) if height else size


def make_options(
    model: Model,
    depth: int | None = None,
    gap: int | None = None,
    max_frames: int | None = None,
    max_long_edge: float | None = None,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    output_height: int | None = None,
) -> TrackerOptions:
    """Check the arguments of a `Tracker`; those that are None come from the config of its network.

    Raises:
        TrackError: for a depth that the network lacks, or a number out of range.
    """
    config = model.config
    try:
        depth = model.module.depth(depth)
    except ValueError as error:
        raise TrackError(str(error)) from None
    check_least("gap", gap, 0)
    check_least("max_frames", max_frames, 0)
    check_least("max_long_edge", max_long_edge, 0)
    check_least("output_height", output_height, 1)
    if not scales or not all(0 < scale < MAX_SCALE for scale in scales):
        raise TrackError(f"scales are {scales}; each is above 0 and below {MAX_SCALE}")
    return TrackerOptions(
        output_height,
        tuple((scale, mirror) for scale in scales for mirror in ((False, True) if flip else (False,))),
        depth,
        config.memory.gap if gap is None else gap,
        config.memory.max_frames if max_frames is None else max_frames,
        config.inference.max_long_edge if max_long_edge is None else max_long_edge,
        config.inference.max_short_edge if len(scales) > 1 else 0,
    )


def check_least(name: str, value: float | None, least: int) -> None:
    """Raise TrackError if a number is below the smallest that is allowed."""
    if value is not None and value < least:
        raise TrackError(f"{name} is {value}; it is at least {least}")
