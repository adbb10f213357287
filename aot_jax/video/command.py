"""Everything that `track.py` does, in order: open, check, track, render. Flags are in `track.py`."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aot_jax.checkpoint import CheckpointError
from aot_jax.config import ConfigError
from aot_jax.flags import network_choice
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError
from aot_jax.io.sources import Source, open_source
from aot_jax.network import FoundNetwork, Model, find_network
from aot_jax.runs import DISK_FULL, Run, RunError, deciding
from aot_jax.tracker.tracker import Tracker, TrackError
from aot_jax.video import limits
from aot_jax.video.prompts import Prompts, read_prompts
from aot_jax.video.render import RenderError, render
from aot_jax.video.run import RESULTS, read_progress, track
from aot_jax.video.stop import Stop

MANY_FRAMES = 10_000  # assumed of a video that does not state its length
ERRORS = (ConfigError, CheckpointError, FrameError, MaskError, TrackError, RunError, RenderError)


def run_command(args: Namespace, overrides: Sequence[str], warn: Callable[[str], None]) -> Path | None:
    """Track a video as the flags say.

    Args:
        args: the flags of `track.py`.
        overrides: of config fields.
        warn: called with each warning.

    Returns:
        The folder of the results; None if it was stopped and can be continued.

    Raises:
        one of `ERRORS`, OSError: for whatever a person can mend; the message says how.
    """
    source = open_source(args.video, args.fps, warn, no_frames=args.mask or ())
    prompts = read_prompts(source, args.mask or (), args.box or (), args.mask_frame, warn)
    network = find_network(network_choice(args, overrides))
    if not args.quiet:
        print(network)
    output = Path(args.output or Path("results") / "track" / source.name)
    settings = _settings(args, source, prompts, network)
    with Run(output, settings, resume=args.resume, overwrite=args.overwrite, results=RESULTS) as run:
        return output if _work(args, source, prompts, network, run, warn) else None


def _work(
    args: Namespace,
    source: Source,
    prompts: Prompts,
    network: FoundNetwork,
    run: Run,
    warn: Callable[[str], None],
) -> bool:
    read_progress(run)
    model = network.load(args.dtype)
    options = {} if args.target_fps is None else {"target_fps": args.target_fps}
    tracker = Tracker(
        model,
        args.depth,
        max_frames=args.max_frames,
        max_long_edge=args.max_long_edge,
        output_height=args.output_height,
        **options,
    )
    _warn_of_limits(args, source, prompts, model, tracker, run.folder, warn)
    with Stop() as stop:

        def stopped() -> bool:
            return stop.requested

        common: dict[str, Any] = {"stopped": stopped, "quiet": args.quiet or None, "warn": warn}
        done = track(
            tracker, source, prompts, run, backward=not args.no_backward, save_every=args.save_every, **common
        ) and render(
            source, run.folder, prompts.ids, overlay=not args.no_overlay, exports=tuple(args.export or ()), **common
        )
    return done


def explain(error: OSError) -> str:
    """Say what an error of the operating system means for the run."""
    if error.errno in DISK_FULL:
        return f"no space left for results ({error}): finished masks are kept; free some space and go on with --resume"
    return str(error)


def _settings(
    args: Namespace,
    source: Source,
    prompts: Prompts,
    network: FoundNetwork,
) -> dict[str, object]:
    """Return what must not change between a run and its continuation."""
    return {
        "video": [str(Path(item).absolute()) for item in args.video],
        "size": list(source.size),
        "prompts": prompts.digest,
        "config": network.config.name,
        **deciding(network.config, "masks"),
        "checkpoint": str(network.checkpoint.absolute()) if network.checkpoint else "random weights",
        "depth": args.depth,
        "dtype": args.dtype,
        "target_fps": args.target_fps,
        "max_frames": args.max_frames,
        "max_long_edge": args.max_long_edge,
        "output_height": args.output_height,
    }


def _warn_of_limits(
    args: Namespace,
    source: Source,
    prompts: Prompts,
    model: Model,
    tracker: Tracker,
    output: Path,
    warn: Callable[[str], None],
) -> None:
    height, width = source.size
    masks = (height, width)
    if args.output_height:
        masks = (args.output_height, -(-width * args.output_height // height))
    edge = _long_edge(args, model)
    frames = source.expected or MANY_FRAMES
    memory = (tracker.depth, len(prompts.ids), frames, args.max_frames, edge)
    needed = limits.memory_needed(model, source.size, masks, *memory)
    state = limits.state_needed(model, source.size, *memory)
    for message in (
        limits.memory_warning(needed, limits.memory_free(), source.size, masks, args.max_frames),
        limits.disk_warning(output, source.size, frames, not args.no_overlay, len(args.export or ()), state),
    ):
        if message:
            warn(message)


def _long_edge(args: Namespace, model: Model) -> float:
    return model.config.inference.max_long_edge if args.max_long_edge is None else args.max_long_edge
