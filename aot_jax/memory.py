"""The memory that a video's recurrence carries: fixed capacity, valid slots, writes and shifts (paper, section 4.2).

What a layer keeps of a frame is a tree of arrays, which its block decides; nothing here knows its leaves. Nothing here
has parameters. All shapes are fixed, so one compiled program serves every frame; a tracker grows the capacity through
a few sizes with `grow`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from aot_jax.models.lstt import LayerMemory
from aot_jax.typing import Array

EMPTY = -1  # frame index of a slot that holds nothing
SLOTS = 2  # axis of slots in memory, which a frame's own arrays (b, n, h, w, d) lack


@struct.dataclass
class Memory:
    """What each layer keeps of past frames, identities attached. b is the batch, or groups of objects."""

    long: tuple[Any, ...]  # for each layer a tree of (b, n, k, h, w, d); (1, n, k, h, w, d) where samples share it
    long_valid: Array  # (b, k) bool: the slot holds a frame in which this sample's objects existed
    long_frame: Array  # (k,) int32: frame index of each slot, EMPTY where nothing is
    long_pinned: Array  # (k,) bool: a reference, never evicted
    long_depth: Array  # (k,) int32: layers that hold this frame; deeper ones were not run on it
    short: tuple[Any, ...]  # for each layer a tree of (b or 1, n, t, h, w, d), the latest frame first
    short_valid: Array  # (b, t) bool

    @property
    def batch(self) -> int:
        """Return the number of samples, b."""
        return self.long_valid.shape[0]

    @property
    def capacity(self) -> int:
        """Return the number of long-term slots, k."""
        return self.long_valid.shape[1]

    def layers(self) -> tuple[LayerMemory, ...]:
        """Return what each layer attends to."""
        return tuple(
            LayerMemory(long, self.long_valid & (self.long_depth > layer), short, self.short_valid)
            for layer, (long, short) in enumerate(zip(self.long, self.short, strict=True))
        )


def empty_memory(frame: Sequence[Any], capacity: int, short_frames: int) -> Memory:
    """Make a memory without frames.

    Args:
        frame: for each layer what it would keep of a frame, a tree of (b, n, h, w, d); arrays or shapes.
        capacity: long-term slots, k.
        short_frames: short-term slots, t.
    """

    def slots(count: int) -> tuple[Any, ...]:
        return jax.tree.map(lambda x: jnp.zeros((*x.shape[:SLOTS], count, *x.shape[SLOTS:]), x.dtype), tuple(frame))

    batch = _batch(frame)
    return Memory(
        long=slots(capacity),
        long_valid=jnp.zeros((batch, capacity), bool),
        long_frame=jnp.full((capacity,), EMPTY, jnp.int32),
        long_pinned=jnp.zeros((capacity,), bool),
        long_depth=jnp.zeros((capacity,), jnp.int32),
        short=slots(short_frames),
        short_valid=jnp.zeros((batch, short_frames), bool),
    )


def write(
    memory: Memory,
    frame: Sequence[Any],
    index: Array | int,
    *,
    keep: Array | bool = True,
    reference: bool = False,
    present: Array | None = None,
) -> Memory:
    """Store a frame with its identities.

    It becomes the latest short-term frame; with `keep` it also enters long-term memory, where it takes a free slot,
    else that of the oldest frame that is no reference. Where references fill every slot, a predicted frame is not kept.
    A reference is always kept and restarts short-term memory. Layers that were not run keep their last short-term
    frames and do not see the new long-term one. Samples that the memory lacks are new: they have no earlier frames.

    Args:
        memory: the memory before.
        frame: for each layer that was run what it keeps of the frame, a tree of (b, n, h, w, d).
        index: of the frame in its video, above those stored.
        keep: whether it enters long-term memory.
        reference: the mask is given, not predicted.
        present: (b,) bool, samples for which the frame holds their objects; None: all.

    Returns:
        The memory after; its capacity is unchanged.
    """
    memory = _add_samples(memory, frame)
    present = jnp.ones((memory.batch,), bool) if present is None else present
    # Free slots are EMPTY = -1 and so come first; references never.
    slot = jnp.argmin(jnp.where(memory.long_pinned, jnp.iinfo(jnp.int32).max, memory.long_frame))
    due = jnp.bool_(True) if reference else keep & ~memory.long_pinned.all()

    def put(slots: Array, new: Array) -> Array:
        new = jnp.expand_dims(new, SLOTS).astype(slots.dtype)
        old = lax.dynamic_slice_in_dim(slots, slot, 1, axis=SLOTS)
        return lax.dynamic_update_slice_in_dim(slots, jnp.where(due, new, old), slot, axis=SLOTS)

    def push(slots: Array, new: Array) -> Array:
        if not slots.shape[SLOTS]:
            return slots
        new = jnp.expand_dims(new, SLOTS).astype(slots.dtype)
        return jnp.concatenate([new, lax.slice_in_dim(slots, 0, -1, axis=SLOTS)], axis=SLOTS)

    here = (jnp.arange(memory.capacity) == slot) & due
    short_valid = memory.short_valid
    if short_valid.shape[1]:
        older = short_valid[:, :-1] & (not reference)
        short_valid = jnp.concatenate([present[:, None], older], axis=1)
    return replace(
        memory,
        long=memory.long if keep is False and not reference else _each(put, memory.long, frame),
        long_valid=jnp.where(here, present[:, None], memory.long_valid),
        long_frame=jnp.where(here, index, memory.long_frame),
        long_pinned=jnp.where(here, reference, memory.long_pinned),
        long_depth=jnp.where(here, len(frame), memory.long_depth),
        short=_each(push, memory.short, frame),
        short_valid=short_valid,
    )


def rewrite(memory: Memory, frame: Sequence[Any], slot: Array | int | None) -> Memory:
    """Put a frame in the place of what is stored of it, with other identities.

    Args:
        memory: the memory before.
        frame: for each layer what it keeps of the frame, a tree of (b, n, h, w, d).
        slot: of long-term memory; None: the latest short-term frame.
    """

    def put(slots: Array, new: Array) -> Array:
        if not slots.shape[SLOTS]:
            return slots
        new = jnp.expand_dims(new, SLOTS).astype(slots.dtype)
        return lax.dynamic_update_slice_in_dim(slots, new, 0 if slot is None else slot, axis=SLOTS)

    if slot is None:
        return replace(memory, short=_each(put, memory.short, frame))
    return replace(memory, long=_each(put, memory.long, frame))


def drop_predicted(memory: Memory, samples: Array) -> Memory:
    """Leave only references in the long-term memory of `samples`, (b,) bool."""
    return replace(memory, long_valid=memory.long_valid & (memory.long_pinned | ~samples[:, None]))


def shrink(memory: Memory, batch: int) -> Memory:
    """Keep the first `batch` samples."""
    own = {name: getattr(memory, name) for name in ("long", "long_valid", "short", "short_valid")}
    return replace(memory, **jax.tree.map(lambda x: x[:batch], own))


def grow(memory: Memory, capacity: int) -> Memory:
    """Add empty slots up to `capacity`."""
    more = capacity - memory.capacity
    return replace(
        memory,
        long=jax.tree.map(lambda x: _pad(x, SLOTS, more), memory.long),
        long_valid=_pad(memory.long_valid, 1, more),
        long_frame=_pad(memory.long_frame, 0, more, EMPTY),
        long_pinned=_pad(memory.long_pinned, 0, more),
        long_depth=_pad(memory.long_depth, 0, more),
    )


def _add_samples(memory: Memory, frame: Sequence[Any]) -> Memory:
    """Add empty samples up to those of `frame`; arrays that samples share stay so where the frame's are shared."""

    def widen(slots: Array, new: Array) -> Array:
        return _pad(slots, 0, new.shape[0] - slots.shape[0])

    more = _batch(frame) - memory.batch
    return replace(
        memory,
        long=_each(widen, memory.long, frame),
        long_valid=_pad(memory.long_valid, 0, more),
        short=_each(widen, memory.short, frame),
        short_valid=_pad(memory.short_valid, 0, more),
    )


def _batch(frame: Sequence[Any]) -> int:
    """Return b: of the arrays that samples do not share."""
    return max(x.shape[0] for x in jax.tree.leaves(tuple(frame)))


def _pad(x: Array, axis: int, count: int, fill: float = 0) -> Array:
    widths = [(0, count if i == axis else 0) for i in range(x.ndim)]
    return jnp.pad(x, widths, constant_values=fill) if count else x


def _each(change: Callable[[Array, Array], Array], slots: tuple[Any, ...], frame: Sequence[Any]) -> tuple[Any, ...]:
    """Change the slots of the first layers, for which there is something new."""
    run = len(frame)
    return jax.tree.map(change, slots[:run], tuple(frame)) + slots[run:]
