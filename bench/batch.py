"""Track several videos on one device at once, a compiled program a frame, for throughput.

Nothing waits for the device: labels are copied to the host while later frames run.
"""

import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
from bench.videos import Clip

from aot_jax.memory import Memory
from aot_jax.models.aot import AOT
from aot_jax.network import Model
from aot_jax.preprocess import inference_size, normalise, resize_cubic, resize_nearest
from aot_jax.propagate import begin, mask_unused, memorize, step
from aot_jax.tracker.groups import resized_labels, used_identities
from aot_jax.typing import Array, Params, Size


def _images(frames: Array, size: Size) -> Array:
    return jax.vmap(lambda frame: normalise(resize_cubic(frame, size)))(frames)


@functools.partial(jax.jit, static_argnames=("model", "depth", "size", "capacity"))
def _begin(model: AOT, params: Params, frames: Array, masks: Array, depth: int, size: Size, capacity: int) -> Memory:
    masks = jax.vmap(lambda mask: resize_nearest(mask, size))(masks)
    _, frame_kv = step(model, params, None, _images(frames, size), mask=masks, depth=depth)
    return begin(model, params, frame_kv, masks, capacity)


@functools.partial(jax.jit, static_argnames=("model", "depth", "size"), donate_argnames="memory")
def _advance(
    model: AOT, params: Params, memory: Memory, frames: Array, used: Array, depth: int, size: Size, t: int, keep: bool
) -> tuple[Memory, Array]:
    """Segment and memorise a frame of each video, (b, h, w, 3) uint8; returns memory and labels (b, h, w) uint8."""
    logits, frame_kv = step(model, params, memory, _images(frames, size), depth=depth)
    read = functools.partial(resized_labels, size=frames.shape[1:3], align_corners=model.config.align_corners)
    labels = jax.vmap(lambda own: read(own[None]))(mask_unused(logits, used))
    masks = jax.vmap(lambda mask: resize_nearest(mask, size))(labels)
    return memorize(model, params, memory, frame_kv, masks, t, keep=keep), labels.astype(jnp.uint8)


def time_batch(model: Model, clip: Clip, depth: int, videos: int) -> dict[str, float]:
    """Track `videos` copies of a clip of up to M objects at once.

    Returns:
        `videos`, `seconds` of all frames after the reference together, `frames_per_second` of all videos together, and
        `compile` in seconds.
    """
    config, module = model.config, model.module
    size = inference_size(
        *clip.size, max_long_edge=config.inference.max_long_edge, align_corners=config.model.align_corners
    )
    gap = config.memory.gap
    capacity = 1 + (len(clip.frames) // gap if gap else 0)
    ids = clip.ids[: config.model.identities]
    used = np.repeat(used_identities(set(range(1, len(ids) + 1)), 1, config.model.identities), videos, axis=0)
    mask = np.searchsorted(sorted([0, *ids]), clip.only(ids).mask).astype(np.int32)
    batches = [np.repeat(frame[None], videos, axis=0) for frame in clip.frames]

    def run() -> float:
        masks = np.repeat(mask[None], videos, axis=0)
        memory = _begin(module, model.params, batches[0], masks, depth, size, capacity)
        jax.block_until_ready(memory)
        start, answers = time.perf_counter(), []
        for t, frames in enumerate(batches[1:], 1):
            keep = bool(gap) and t % gap == 0
            memory, labels = _advance(module, model.params, memory, frames, used, depth, size, t, keep)
            labels.copy_to_host_async()
            answers.append(labels)
        for labels in answers:
            np.asarray(labels)
        return time.perf_counter() - start

    with_compilation = run()
    seconds = run()
    return {
        "videos": videos,
        "seconds": seconds,
        "frames_per_second": videos * (len(batches) - 1) / seconds,
        "compile": max(with_compilation - seconds, 0.0),
    }
