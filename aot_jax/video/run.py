"""Run `track.py`: open the video, check the prompts, track, render."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aot_jax.io.sources import Source, open_source
from aot_jax.network import FoundNetwork, find_network
from aot_jax.runs import DISK_FULL, RECORD, Run, RunError
from aot_jax.settings import fields_for
from aot_jax.start.hosts import StopSignal
from aot_jax.tracker.tracker import Tracker
from aot_jax.video import limits
from aot_jax.video.options import TrackOptions
from aot_jax.video.prompts import Prompts, read_prompts
from aot_jax.video.render import render
from aot_jax.video.results import DRAWN, RESULTS, keep_given, read_progress
from aot_jax.video.track import track


def track_video(options: TrackOptions, warn: Callable[[str], None] = lambda _: None) -> Path | None:
    """Track a video; write its masks, its overlay and its exports.

    Args:
        options: options of the run.
        warn: called with each warning.

    Returns:
        The results folder; None if it was stopped and can be resumed.

    Raises:
        ReportedError, OSError: the input or output cannot be used.
    """
    source = open_source(options.video, options.fps, warn, no_frames=options.masks)
    folder = options.folder(source.name)
    prompts = find_prompts(options, source, folder, warn)
    network = find_network(options.network)
    if not options.quiet:
        print(network, flush=True)
    keep_given(folder, source, options.masks)
    settings = run_settings(options, source, prompts.digest, network)
    with Run(folder, settings, resume=options.resume, overwrite=options.overwrite, results=RESULTS) as run:
        read_progress(run)
        model = network.load()
        tracker = Tracker(
            model,
            options.depth,
            max_frames=options.max_frames,
            output_height=options.output_height,
            target_fps=options.target_fps,
        )
        for message in limits.warnings(model, tracker.depth, source, len(prompts.ids), options, folder):
            warn(message)
        with StopSignal("stopping after this frame") as stop:
            common: dict[str, Any] = {
                "stopped": lambda: stop.asked is not None,
                "quiet": options.quiet or None,
                "warn": warn,
            }
            done = track(
                tracker, source, prompts, run, backward=options.backward, save_every=options.save_every, **common
            ) and render(source, folder, prompts.ids, overlay=options.overlay, exports=options.exports, **common)
    return folder if done else None


def explain(error: OSError) -> str:
    """Return a message for an OSError, with a remedy if the disk is full."""
    if error.errno in DISK_FULL:
        return (
            f"no space left for results ({error}): finished masks are kept; free some space and continue with "
            "--resume, without --overwrite"
        )
    return str(error)


def find_prompts(options: TrackOptions, source: Source, folder: Path, warn: Callable[[str], None]) -> Prompts:
    """Read the prompts of a run; without any, a run that is resumed takes the masks drawn in the browser.

    Raises:
        MaskError: as in `read_prompts`.
        RunError: the masks differ from those drawn in the browser, whose results the run would replace.
    """
    drawn = folder / DRAWN
    resumes_page = options.resume and not options.overwrite and any(drawn.glob("*.png"))
    if resumes_page and not options.masks and not options.boxes:
        warn(f"the masks are those drawn in the browser, {drawn}")
        return read_prompts(source, [str(drawn)])
    prompts = read_prompts(source, options.masks, options.boxes, options.mask_frame, warn)
    if resumes_page and not (folder / RECORD).exists() and prompts.digest != read_prompts(source, [str(drawn)]).digest:
        raise RunError(
            f"{folder} holds masks that were changed in the browser: continue from them with --resume alone, choose "
            "another --output, or start again with --overwrite"
        )
    return prompts


def run_settings(options: TrackOptions, source: Source, digest: str, network: FoundNetwork) -> dict[str, object]:
    """Return the settings that must be the same when a run is resumed; `digest` is that of its prompts."""
    return {
        "video": [str(Path(item).absolute()) for item in options.video],
        "size": list(source.size),
        "prompts": digest,
        "config": network.config.name,
        **fields_for(network.config, "masks"),
        "checkpoint": str(network.checkpoint.absolute()) if network.checkpoint else "random weights",
        "depth": options.depth,
        "target_fps": options.target_fps,
        "max_frames": options.max_frames,
        "output_height": options.output_height,
    }
