"""The recurrence over one video at one scale and flip: a frame and labels in slots, in; logits and labels, out.

Called by `tracker.py`, which owns ids and policy, and by `tta.py`. Every frame runs one compiled program.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.checkpoint import Model
from aot_jax.grouping import join_logits, split_groups
from aot_jax.memory import Memory, empty_memory, grow
from aot_jax.models.aot import AOT
from aot_jax.models.layers import resize_bilinear
from aot_jax.preprocess import inference_size, normalise, resize_cubic, resize_nearest
from aot_jax.propagate import mask_unused, memorize, step
from aot_jax.typing import Array, Params, Size

FIRST_CAPACITY = 4  # long-term slots at the start; doubled when full


@dataclass(frozen=True)
class View:
    """What a compiled program of a stream depends on besides array shapes."""

    size: Size  # of the network's input
    output: Size  # of the labels
    flip: bool  # the stream sees frames mirrored left to right
    gap: int  # frames between long-term writes
    depth: int  # LSTT layers


def _prepare(frame: Array, view: View) -> Array:
    image = normalise(resize_cubic(frame, view.size))
    return (image[:, ::-1] if view.flip else image)[None]


def _masks(labels: Array, view: View, groups: int, identities: int) -> Array:
    labels = resize_nearest(labels[:, ::-1] if view.flip else labels, view.size)
    return split_groups(labels, groups, identities)


def full_logits(model: AOT, logits: Array, used: Array, size: Size, flip: bool) -> Array:
    """Turn a stream's logits (g, h, w, M + 1) at 4x into (*size, 1 + g M), in the order of slots."""
    logits = resize_bilinear(mask_unused(logits, used), size, model.config.align_corners)
    joined = join_logits(logits)
    return joined[:, ::-1] if flip else joined


def _labels(model: AOT, logits: Array, used: Array, view: View) -> Array:
    return jnp.argmax(full_logits(model, logits, used, view.output, view.flip), axis=-1).astype(jnp.int32)


@functools.partial(jax.jit, static_argnames=("model", "view"), donate_argnames=("memory",))
def _advance(model: AOT, params: Params, memory: Memory, frame: Array, used: Array, view: View) -> tuple:
    """Segment a frame and memorise the result."""
    logits, frame_kv = step(model, params, memory, _prepare(frame, view), depth=view.depth)
    labels = _labels(model, logits, used, view)
    masks = _masks(labels, view, used.shape[0], model.config.identities)
    return logits, labels, memorize(model, params, memory, frame_kv, masks, view.gap)


@functools.partial(jax.jit, static_argnames=("model", "view"))
def _predict(model: AOT, params: Params, memory: Memory, frame: Array, used: Array, view: View) -> tuple:
    """Segment a frame and leave memory as it is."""
    logits, _ = step(model, params, memory, _prepare(frame, view), depth=view.depth)
    return logits, _labels(model, logits, used, view)


@functools.partial(jax.jit, static_argnames=("model", "view", "groups", "capacity"))
def _begin(
    model: AOT, params: Params, frame: Array, labels: Array, view: View, groups: int, capacity: int
) -> tuple[Array, Memory]:
    """Start a memory from a reference frame."""
    masks = _masks(labels, view, groups, model.config.identities)
    logits, frame_kv = step(model, params, None, _prepare(frame, view), mask=masks, depth=view.depth)
    memory = empty_memory(frame_kv, capacity, model.config.short_term_frames)
    return logits, memorize(model, params, memory, frame_kv, masks, view.gap, reference=True)


@functools.partial(jax.jit, static_argnames=("model", "view"), donate_argnames=("memory",))
def _refer(model: AOT, params: Params, memory: Memory, frame: Array, labels: Array, view: View) -> tuple[Array, Memory]:
    """Add a reference frame to a memory."""
    masks = _masks(labels, view, memory.long_valid.shape[0], model.config.identities)
    logits, frame_kv = step(model, params, None, _prepare(frame, view), mask=masks, depth=view.depth)
    return logits, memorize(model, params, memory, frame_kv, masks, view.gap, reference=True)


class Stream:
    """One video's recurrence. The counters below mirror those inside the memory, so that no frame waits for the host.

    Args:
        model: network and parameters.
        frame_size: of the video's frames, in pixels.
        output_size: of the labels, in pixels.
        depth: LSTT layers to run.
        gap: frames between long-term writes; 0: references only.
        max_frames: long-term frames at most; 0: no limit. References may exceed it.
        scale: of the input.
        flip: mirror the frames.
        max_long_edge: in pixels, before scaling; 0: no limit.
        max_short_edge: in pixels, before scaling; 0: no limit.
    """

    def __init__(
        self,
        model: Model,
        frame_size: Size,
        output_size: Size,
        *,
        depth: int,
        gap: int,
        max_frames: int,
        scale: float = 1.0,
        flip: bool = False,
        max_long_edge: float = 0,
        max_short_edge: float = 0,
    ) -> None:
        self.model = model
        self.max_frames = max_frames
        size = inference_size(
            *frame_size,
            max_long_edge=max_long_edge,
            max_short_edge=max_short_edge,
            scale=scale,
            align_corners=model.module.config.align_corners,
        )
        self.view = View(size=size, output=output_size, flip=flip, gap=gap, depth=depth)
        self.memory: Memory | None = None
        self.logits: Array | None = None  # (g, h, w, M + 1) at 4x of the last frame
        self._frame = -1  # memorised last
        self._last_written = -1
        self._stored = 0  # long-term frames
        self._references = 0

    def advance(self, frame: Array, used: np.ndarray) -> Array:
        """Segment a frame, memorise the result and return it: labels (h, w) in slots."""
        self._make_room(reference=False)
        self.logits, labels, self.memory = _advance(
            self.model.module, self.model.params, self.memory, frame, used, self.view
        )
        return labels

    def predict(self, frame: Array, used: np.ndarray) -> Array:
        """Segment a frame without memorising it; returns labels (h, w) in slots. `refer` follows."""
        self.logits, labels = _predict(self.model.module, self.model.params, self.memory, frame, used, self.view)
        return labels

    def refer(self, frame: Array, labels: Array, groups: int) -> None:
        """Take a frame with its labels (h, w) in slots as a reference, for `groups` groups."""
        module, params = self.model.module, self.model.params
        if self.memory is None:
            capacity = FIRST_CAPACITY if self.view.gap else 1
            if self.max_frames:
                capacity = min(capacity, self.max_frames)
            self.logits, self.memory = _begin(module, params, frame, labels, self.view, groups, capacity)
            self._count(reference=True)
        else:
            if groups > self.memory.long_valid.shape[0]:
                self.memory = grow(self.memory, batch=groups)
            self._make_room(reference=True)
            self.logits, self.memory = _refer(module, params, self.memory, frame, labels, self.view)

    def _make_room(self, reference: bool) -> None:
        """Double the capacity if this frame's write would evict a frame that need not go."""
        if not reference and not (self.view.gap and self._frame + 1 - self._last_written >= self.view.gap):
            self._frame += 1
            return
        capacity = self.memory.capacity
        if self._stored == capacity:
            limit = self.max_frames or 2 * capacity
            if self._references == capacity:  # nothing may go
                limit = max(limit, capacity + 1)
            if limit > capacity:
                self.memory = grow(self.memory, capacity=min(2 * capacity, limit))
        self._count(reference)

    def _count(self, reference: bool) -> None:
        self._frame += 1
        self._last_written = self._frame
        self._stored = min(self._stored + 1, self.memory.capacity)
        self._references += reference
