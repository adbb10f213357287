"""The recurrence over one video at one scale and flip: state and a frame in, state and labels out.

A frame runs two or three compiled programs, and nothing waits for the host in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from flax import struct

from aot_jax.memory import Memory, drop_predicted, shrink
from aot_jax.models.aot import AOT, Features
from aot_jax.network import Model
from aot_jax.tracker import programs
from aot_jax.tracker.programs import Padded, View
from aot_jax.typing import Array, ArrayLike, Params, Size

FIRST_CAPACITY = 4  # long-term slots at the start; doubled when full


@struct.dataclass
class Picture:
    """A frame as it was memorised, kept so that it can be memorised again without an object."""

    index: int  # index of the frame in its video
    frame: ArrayLike  # (h, w, 3) uint8
    labels: ArrayLike  # (h, w) int32 slots


@struct.dataclass
class StreamState:
    """State of a stream between frames. A step donates the memory of its argument, which is then invalid."""

    memory: Memory
    logits: Array  # (g, h, w, M + 1) at 4x, of the last frame segmented
    latest: Picture  # the frame memorised last
    references: tuple[Picture, ...]  # frames with a given mask, in order; the first frame is one

    @property
    def groups(self) -> int:
        """Return the number of groups of objects, g."""
        return self.memory.batch

    @property
    def frame_size(self) -> Size:
        """Return (h, w) of the video's frames."""
        return self.latest.frame.shape[0], self.latest.frame.shape[1]


@dataclass(frozen=True, eq=False)
class Stream:
    """Functions of one video at one scale and flip: constant, while a `StreamState` goes in and out."""

    model: Model
    view: View
    depth: int  # LSTT layers that references are memorised for, and the most that a frame runs
    gap: int  # frames between long-term writes; 0: references only
    max_frames: int  # most long-term frames; 0: no limit. References may exceed it

    def begin(self, frame: np.ndarray, labels: ArrayLike, groups: int) -> StreamState:
        """Take the first frame, with its labels (h, w) in slots, of `groups` groups."""
        capacity = FIRST_CAPACITY if self.gap else 1
        if self.max_frames:
            capacity = min(capacity, self.max_frames)
        masks = self._masks(labels, groups)
        logits, frame_kv = self.segment(None, frame, masks)
        memory = programs.begin(*self._network, frame_kv, masks, capacity)
        picture = Picture(0, frame, labels)
        return StreamState(memory, logits, picture, (picture,))

    def advance(
        self, state: StreamState, frame: np.ndarray, used: np.ndarray, depth: int | None = None
    ) -> tuple[StreamState, Array]:
        """Segment a frame at a depth (None: full) and memorise the result; returns labels (h, w) in slots too."""
        memory, index, keep = self.prepare_write(state)
        logits, frame_kv = self.segment(memory, frame, None, depth)
        memory, labels = programs.memorize(*self._network, memory, frame_kv, logits, used, index, keep, view=self.view)
        return StreamState(memory, logits, Picture(index, frame, labels), state.references), labels

    def labels(self, logits: Array, used: np.ndarray) -> Array:
        """Turn logits (g, h, w, M + 1) at 4x into labels (h, w) int32 in slots; `used` is (g, M + 1) bool."""
        return programs.read_labels(self.model.module, logits, used, self.view)

    def add_reference(self, state: StreamState, frame: np.ndarray, labels: ArrayLike, groups: int) -> StreamState:
        """Memorise the next frame with its labels (h, w) in slots as a reference, of `groups` groups."""
        masks = self._masks(labels, groups)
        logits, frame_kv = self.segment(None, frame, masks)
        index = state.latest.index + 1
        memory = programs.memorize_reference(*self._network, self.ensure_capacity(state), frame_kv, masks, index)
        picture = Picture(index, frame, labels)
        return StreamState(memory, logits, picture, (*state.references, picture))

    def remove(self, state: StreamState, slots: Sequence[int], groups: int) -> StreamState:
        """Remove objects from memory: references and the last frame are memorised again without them; the groups that
        held them forget all other frames. `groups` groups are left.
        """
        memory, references = state.memory, list(state.references)
        frames = np.asarray(memory.long_frame)

        def without(picture: Picture) -> Picture:
            labels = np.asarray(picture.labels)
            return replace(picture, labels=np.where(np.isin(labels, slots), 0, labels))

        def reread(memory: Memory, picture: Picture, slot: Array | None) -> Memory:
            masks = self._masks(picture.labels, state.groups)
            _, frame_kv = self.segment(None, picture.frame, masks)
            return programs.rewrite(*self._network, memory, frame_kv, masks, slot)

        for i, reference in enumerate(references):
            if np.isin(reference.labels, slots).any():
                references[i] = without(reference)
                memory = reread(memory, references[i], jnp.int32(np.flatnonzero(frames == reference.index)[0]))
        latest = without(state.latest)
        memory = reread(memory, latest, None)
        held = np.zeros(state.groups, bool)
        held[(np.asarray(slots) - 1) // self.model.module.config.identities] = True
        memory = drop_predicted(memory, jnp.asarray(held))
        memory = shrink(memory, groups) if groups < state.groups else memory
        return StreamState(memory, state.logits[:groups], latest, tuple(references))

    def stored(self, state: StreamState) -> int:
        """Return how many frames long-term memory holds, without asking the device."""
        count = len(state.references)
        if self.gap:
            starts = [reference.index for reference in state.references]
            ends = [*(start - 1 for start in starts[1:]), state.latest.index]
            count += sum((end - start) // self.gap for start, end in zip(starts, ends, strict=True))
        return min(count, state.memory.capacity)

    def ensure_capacity(self, state: StreamState) -> Memory:
        """Return the state's memory, a full one doubled up to `max_frames`, or to fit one more reference."""
        capacity = state.memory.capacity
        if self.stored(state) < capacity:
            return state.memory
        limit = self.max_frames or 2 * capacity
        if len(state.references) == capacity:  # references are never evicted
            limit = max(limit, capacity + 1)
        return programs.grow(state.memory, capacity=min(2 * capacity, limit)) if limit > capacity else state.memory

    def segment(
        self, memory: Memory | None, frame: ArrayLike, masks: Array | None, depth: int | None = None
    ) -> tuple[Array, tuple]:
        """Segment a frame, or read it with its masks as a reference; returns logits and what each layer keeps of it."""
        seen: Padded | Features = programs.pad(frame, self.view.flip)
        if programs.encodes_apart():
            seen = programs.encode(*self._network, seen, size=self.view.size)
        return programs.step(*self._network, memory, seen, masks, size=self.view.size, depth=depth or self.depth)

    @property
    def _network(self) -> tuple[AOT, Params]:
        return self.model.module, self.model.params

    def _masks(self, labels: ArrayLike, groups: int) -> Array:
        return programs.split_labels(labels, self.view, groups, self.model.module.config.identities)

    def prepare_write(self, state: StreamState) -> tuple[Memory, int, bool]:
        """Return the memory for the next frame, its index, and whether long-term memory keeps it as predicted."""
        index = state.latest.index + 1
        keep = self.last_kept(state.references[-1].index, index) == index
        return self.ensure_capacity(state) if keep else state.memory, index, keep

    def last_kept(self, reference: int, latest: int) -> int:
        """Return the latest frame in long-term memory: each gap-th after the last reference is kept."""
        return latest - (latest - reference) % self.gap if self.gap else reference
