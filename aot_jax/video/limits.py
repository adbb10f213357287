"""Estimate the memory and disk space of a run, and warn before it starts if they do not suffice."""

import math
import shutil
from pathlib import Path

import jax

from aot_jax.io.sources import Source
from aot_jax.network import Model
from aot_jax.ops.attention import SCORES
from aot_jax.preprocess import inference_size
from aot_jax.tracker.objects import group_count
from aot_jax.tracker.options import output_size
from aot_jax.typing import Size
from aot_jax.video.options import TrackOptions

MIB, GIB = 2**20, 2**30
LARGE = 2560 * 1440  # smallest frame, in pixels, whose memory is always reported
ENCODER_BYTES = 600  # peak activations in bytes per pixel of the network's input; measured
LABEL_BYTES = 2.5 * 4  # logits and their copies in bytes per pixel and class of the output
FRAME_BYTES = 60  # queued frames and masks in bytes per pixel
MANY_FRAMES = 10_000  # number of frames assumed if the video states no length
MASK_BYTES, OVERLAY_BYTES, JPEG_BYTES = 0.02, 0.1, 0.7  # approximate bytes per pixel on disk


def warnings(model: Model, depth: int, source: Source, objects: int, options: TrackOptions, folder: Path) -> list[str]:
    """Return warnings about memory and disk space for a run.

    Args:
        model: network.
        depth: number of LSTT layers.
        source: the video.
        objects: number of objects.
        options: options of the run.
        folder: results folder; it exists.
    """
    output = output_size(source.size, options.output_height)
    frames = source.expected or MANY_FRAMES
    needed, state = memory_needed(model, source.size, output, depth, objects, frames, options.max_frames)
    memory = memory_warning(needed, memory_free(), source.size, output, options.max_frames)
    disk = disk_warning(folder, source.size, frames, options.overlay, len(options.exports), state)
    return [message for message in (memory, disk) if message]


def memory_needed(
    model: Model, size: Size, output: Size, depth: int, objects: int, frames: int, max_frames: int
) -> tuple[int, int]:
    """Estimate the memory that tracking takes besides the program itself, and the size of a saved state, in bytes.

    Args:
        model: network.
        size: (h, w) of the frames.
        output: (h, w) of the masks.
        depth: number of LSTT layers.
        objects: number of objects.
        frames: number of frames in the video.
        max_frames: most frames in the long-term memory; 0: no limit.
    """
    config = model.config
    network = inference_size(
        *size, max_long_edge=config.inference.max_long_edge, align_corners=config.model.align_corners
    )
    tokens = math.prod(-(-n // 16) for n in network)  # of each frame
    groups = group_count(objects, config.model.identities)
    written = frames // config.memory.gap + 1 if config.memory.gap else 1
    slots = 2 ** math.ceil(math.log2(min(written, max_frames or written)))
    state = 4 * model.module.numbers_kept() * depth * groups * tokens * slots  # memory of past frames
    scores = groups * config.model.heads * tokens * tokens * slots
    if jax.default_backend() == "cpu":
        scores = min(scores, SCORES)
    labels = LABEL_BYTES * math.prod(output) * (groups * config.model.identities + 1)
    parameters = 4 * sum(leaf.size for leaf in jax.tree.leaves(model.params))
    pixels = FRAME_BYTES * math.prod(size) + ENCODER_BYTES * math.prod(network)
    # Old and new arrays coexist while the memory grows.
    return int(1.5 * state + 4 * 2 * scores + labels + parameters + pixels), state


def memory_free() -> int | None:
    """Return the free memory of the device that runs the network, in bytes; None if unknown."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def memory_warning(needed: int, free: int | None, size: Size, output: Size, max_frames: int) -> str | None:
    """Return a warning if frames are large or memory is short, else None."""
    scarce = free is not None and needed > 0.9 * free
    if not scarce and math.prod(size) < LARGE:
        return None
    have = "" if free is None else f", {free / GIB:.1f} GiB are free"
    ways = [f"--output_height {min(size[0] // 2, 1080)} for smaller masks"] if math.prod(output) >= LARGE else []
    if scarce:
        ways.append("a smaller --max_long_edge for the network's input")
        if max_frames != 1:
            ways.append(f"--max_frames below {max_frames}" if max_frames else "a limit, such as --max_frames 50")
    suggestion = f": consider {', or '.join(ways)}" if ways else ""
    return f"frames of {size[1]}x{size[0]} need about {needed / GIB:.1f} GiB of memory{have}{suggestion}"


def disk_warning(folder: Path, size: Size, frames: int, overlay: bool, exports: int, state: int) -> str | None:
    """Return a warning if results and saved states, of `state` bytes each, do not fit on the disk of `folder`."""
    each = MASK_BYTES + OVERLAY_BYTES * overlay + (JPEG_BYTES + MASK_BYTES) * exports
    # A new state is written before the previous one is deleted.
    needed, free = int(each * math.prod(size) * frames) + 2 * state, shutil.disk_usage(folder).free
    if needed < free:
        return None
    return (
        f"{folder} has {free // MIB:,} MiB free, but the results may need {-(-needed // MIB):,} MiB: free some space, "
        "or choose another --output"
    )
