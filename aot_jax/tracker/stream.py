"""The recurrence over one video at one scale and flip: a frame and labels in slots, in; logits and labels, out.

A frame runs a few compiled programs, one after the other, and nothing waits for the host in between.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax import propagate
from aot_jax.memory import Memory, drop_predicted, grow, rewrite, shrink
from aot_jax.models.aot import AOT, Features
from aot_jax.models.layers import resize_bilinear
from aot_jax.network import Model
from aot_jax.preprocess import inference_size, normalise, resize_cubic, resize_nearest
from aot_jax.propagate import attach, begin, mask_unused, memorize, step
from aot_jax.tracker.groups import join_logits, resized_labels, split_groups
from aot_jax.typing import Array, ArrayLike, Params, Size

FIRST_CAPACITY = 4  # long-term slots at the start; doubled when full


@dataclasses.dataclass(frozen=True)
class View:
    """How a stream sees the video."""

    size: Size  # of the network's input
    output: Size  # of the labels
    flip: bool  # frames are mirrored left to right


@dataclasses.dataclass(frozen=True)
class Reference:
    """A frame with its given mask, kept so that it can be memorised again without an object."""

    index: int  # of the frame
    frame: np.ndarray  # (h, w, 3) uint8
    labels: np.ndarray  # (h, w) int32 slots


# Programs that depend on the frame's own size are small; those that hold the network depend on its input size alone,
# a multiple of 16, so that videos of many sizes share them.


@functools.partial(jax.jit, static_argnames="view")
def _prepare(frame: Array, view: View) -> Array:
    image = normalise(resize_cubic(frame, view.size))
    return (image[:, ::-1] if view.flip else image)[None]


@functools.partial(jax.jit, static_argnames=("view", "groups", "identities"))
def _masks(labels: Array, view: View, groups: int, identities: int) -> Array:
    labels = resize_nearest(labels[:, ::-1] if view.flip else labels, view.size)
    return split_groups(labels, groups, identities)


def full_logits(model: AOT, logits: Array, used: Array, size: Size, flip: bool) -> Array:
    """Turn a stream's logits (g, h, w, M + 1) at 4x into (*size, 1 + g M), in the order of slots."""
    joined = join_logits(resize_bilinear(mask_unused(logits, used), size, model.config.align_corners))
    return joined[:, ::-1] if flip else joined


@functools.partial(jax.jit, static_argnames=("model", "view"))
def _labels(model: AOT, logits: Array, used: Array, view: View) -> Array:
    labels = resized_labels(mask_unused(logits, used), view.output, model.config.align_corners)
    return labels[:, ::-1] if view.flip else labels


@functools.partial(jax.jit, static_argnames="model")
def _encode(model: AOT, params: Params, image: Array) -> Features:
    return propagate.encode(model, params, image)


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def _segment(
    model: AOT, params: Params, memory: Memory | None, features: Features, masks: Array | None, depth: int
) -> tuple:
    return step(model, params, memory, features, mask=masks, depth=depth)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memory")
def _memorize(
    model: AOT, params: Params, memory: Memory, frame_kv: tuple, masks: Array, index: int, keep: bool
) -> Memory:
    return memorize(model, params, memory, frame_kv, masks, index, keep=keep)


@functools.partial(jax.jit, static_argnames="model")
def _memorize_reference(
    model: AOT, params: Params, memory: Memory, frame_kv: tuple, masks: Array, index: int
) -> Memory:
    return memorize(model, params, memory, frame_kv, masks, index, reference=True)


@functools.partial(jax.jit, static_argnames=("model", "capacity"))
def _begin(model: AOT, params: Params, frame_kv: tuple, masks: Array, capacity: int) -> Memory:
    return begin(model, params, frame_kv, masks, capacity)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memory")
def _rewrite(model: AOT, params: Params, memory: Memory, frame_kv: tuple, masks: Array, slot: Array | None) -> Memory:
    return rewrite(memory, attach(model, params, frame_kv, masks), slot)


class Stream:
    """One video's recurrence. The counters below mirror those inside the memory, so that no frame waits for the host.

    Args:
        model: network and parameters.
        frame_size: of the video's frames, in pixels.
        output_size: of the labels, in pixels.
        depth: LSTT layers that references are memorised for, and the most that a frame runs.
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
        self.depth = depth
        self.gap = gap
        self.max_frames = max_frames
        size = inference_size(
            *frame_size,
            max_long_edge=max_long_edge,
            max_short_edge=max_short_edge,
            scale=scale,
            align_corners=model.module.config.align_corners,
        )
        self.view = View(size, output_size, flip)
        # None until the first reference, with which every video begins.
        self.memory: Memory = None  # type: ignore[assignment]
        # (g, h, w, M + 1) at 4x of the last frame.
        self.logits: Array = None  # type: ignore[assignment]
        self.references: list[Reference] = []
        # The frame memorised last, and its labels in slots.
        self.latest: tuple[np.ndarray, ArrayLike] = None  # type: ignore[assignment]
        self.frame = -1  # index of the frame memorised last
        self.last_written = -1
        self.stored = 0  # long-term frames

    @property
    def groups(self) -> int:
        """Return the number of groups that memory holds."""
        return self.memory.batch

    def advance(self, frame: np.ndarray, used: np.ndarray, depth: int | None = None) -> Array:
        """Segment a frame at a depth (None: full), memorise the result and return it: labels (h, w) in slots."""
        self._make_room(reference=False)
        frame_kv = self._look(frame, None, depth)
        labels = _labels(self.model.module, self.logits, used, self.view)
        self._remember(frame, labels, frame_kv, self.frame == self.last_written)
        return labels

    def predict(self, frame: np.ndarray, used: np.ndarray, depth: int | None = None) -> Array:
        """Segment a frame without memorising it; returns labels (h, w) in slots. `refer` follows."""
        self._look(frame, None, depth)
        return _labels(self.model.module, self.logits, used, self.view)

    def refer(self, frame: np.ndarray, labels: np.ndarray, groups: int) -> None:
        """Take a frame with its labels (h, w) in slots as a reference, for `groups` groups."""
        module, params = self.model.module, self.model.params
        masks = self._masks(labels, groups)
        frame_kv = self._look(frame, masks, None)
        if self.memory is None:
            capacity = FIRST_CAPACITY if self.gap else 1
            if self.max_frames:
                capacity = min(capacity, self.max_frames)
            self.memory = _begin(module, params, frame_kv, masks, capacity)
            self._count()
        else:
            self._make_room(reference=True)
            self.memory = _memorize_reference(module, params, self.memory, frame_kv, masks, self.frame)
        self.references.append(Reference(self.frame, frame, labels))
        self.latest = frame, labels

    def remove(self, slots: list[int], groups: int) -> None:
        """Memorise without some objects: references and the last frame are read again, other frames are forgotten
        by the groups that held these objects. `groups` are left.
        """
        module, params = self.model.module, self.model.params

        def without(labels: np.ndarray) -> np.ndarray:
            return np.where(np.isin(labels, slots), 0, labels)

        frames = np.asarray(self.memory.long_frame)
        logits = self.logits
        for i, reference in enumerate(self.references):
            if not np.isin(reference.labels, slots).any():
                continue
            reference = dataclasses.replace(reference, labels=without(reference.labels))
            self.references[i] = reference
            masks = self._masks(reference.labels, self.groups)
            slot = jnp.int32(np.flatnonzero(frames == reference.index)[0])
            frame_kv = self._look(reference.frame, masks, None)
            self.memory = _rewrite(module, params, self.memory, frame_kv, masks, slot)
        frame, labels = self.latest
        self.latest = frame, without(np.asarray(labels))
        masks = self._masks(self.latest[1], self.groups)
        self.memory = _rewrite(module, params, self.memory, self._look(frame, masks, None), masks, None)
        held = np.zeros(self.groups, bool)
        held[(np.asarray(slots) - 1) // module.config.identities] = True
        self.memory = drop_predicted(self.memory, jnp.asarray(held))
        self.logits = logits[:groups]
        if groups < self.groups:
            self.memory = shrink(self.memory, groups)

    def _look(self, frame: np.ndarray, masks: Array | None, depth: int | None) -> tuple:
        """Segment a frame, or read it with its masks as a reference; returns each layer's key and value."""
        module, params = self.model.module, self.model.params
        features = _encode(module, params, _prepare(frame, self.view))
        memory = self.memory if masks is None else None
        self.logits, frame_kv = _segment(module, params, memory, features, masks, depth or self.depth)
        return frame_kv

    def _masks(self, labels: ArrayLike, groups: int) -> Array:
        return _masks(labels, self.view, groups, self.model.module.config.identities)

    def _remember(self, frame: np.ndarray, labels: ArrayLike, frame_kv: tuple, keep: bool) -> None:
        module, params = self.model.module, self.model.params
        self.memory = _memorize(
            module, params, self.memory, frame_kv, self._masks(labels, self.groups), self.frame, keep
        )
        self.latest = frame, labels

    def _make_room(self, reference: bool) -> None:
        """Double the capacity if this frame's write would evict a frame that need not go."""
        if not reference and not (self.gap and self.frame + 1 - self.last_written >= self.gap):
            self.frame += 1
            return
        capacity = self.memory.capacity
        if self.stored == capacity:
            limit = self.max_frames or 2 * capacity
            if len(self.references) == capacity:  # nothing may go
                limit = max(limit, capacity + 1)
            if limit > capacity:
                self.memory = grow(self.memory, capacity=min(2 * capacity, limit))
        self._count()

    def _count(self) -> None:
        self.frame += 1
        self.last_written = self.frame
        self.stored = min(self.stored + 1, self.memory.capacity)
