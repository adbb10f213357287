"""Long-term and short-term memory of a video: fixed capacity, valid slots, writes and shifts (paper, section 4.2).

What a layer stores for a frame is a tree of arrays that its block defines; no function here depends on its leaves or
has parameters. All shapes are fixed, so one compiled program serves every frame; `grow` raises the capacity.
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

EMPTY = -1  # frame index of an empty slot
SLOTS = 2  # axis of slots in memory; a frame's own arrays (b, n, h, w, d) lack it


@struct.dataclass
class Memory:
    """Past frames in each layer, with identities attached. b is the batch, or the groups of objects."""

    long: tuple[Any, ...]  # for each layer a tree of (b, n, k, h, w, d); (1, n, k, h, w, d) where samples share it
    long_valid: Array  # (b, k) bool: the slot holds a frame in which this sample's objects existed
    long_frame: Array  # (k,) int32: frame index of each slot, or EMPTY
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
        frame: for each layer, what it stores for a frame: a tree of arrays or shapes (b, n, h, w, d).
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
    else that of the oldest frame that is not a reference. If references fill every slot, a predicted frame is not kept.
    A reference is always kept and restarts short-term memory. Layers that were not run keep their last short-term
    frames and do not see the new long-term one. Samples that the memory lacks are added, without earlier frames.

    Args:
        memory: the memory to change.
        frame: for each layer that was run, what it stores for the frame: a tree of (b, n, h, w, d).
        index: index of the frame in its video, higher than those stored.
        keep: whether the frame enters long-term memory.
        reference: the mask is given, not predicted.
        present: (b,) bool, samples for which the frame holds their objects; None: all.

    Returns:
        The new memory, of the same capacity.
    """
    memory = _add_samples(memory, frame)
    present = jnp.ones((memory.batch,), bool) if present is None else present
    # Free slots (EMPTY = -1) come first, references never.
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
    """Replace a stored frame, to give it other identities.

    Args:
        memory: the memory to change.
        frame: for each layer, what it stores for the frame: a tree of (b, n, h, w, d).
        slot: the frame's slot in long-term memory; None: the latest short-term frame.
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
    """Invalidate the long-term frames of `samples`, (b,) bool, that are not references."""
    return replace(memory, long_valid=memory.long_valid & (memory.long_pinned | ~samples[:, None]))


def shrink(memory: Memory, batch: int) -> Memory:
    """Keep the first `batch` samples."""
    by_sample = {name: getattr(memory, name) for name in ("long", "long_valid", "short", "short_valid")}
    return replace(memory, **jax.tree.map(lambda x: x[:batch], by_sample))


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
    """Add empty samples up to the batch of `frame`; a shared array stays shared if the frame's is."""

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
    """Return b, the largest batch size of the arrays; an array that samples share has batch size 1."""
    return max(x.shape[0] for x in jax.tree.leaves(tuple(frame)))


def _pad(x: Array, axis: int, count: int, fill: float = 0) -> Array:
    widths = [(0, count if i == axis else 0) for i in range(x.ndim)]
    return jnp.pad(x, widths, constant_values=fill) if count else x


def _each(change: Callable[[Array, Array], Array], slots: tuple[Any, ...], frame: Sequence[Any]) -> tuple[Any, ...]:
    """Apply `change` to the slots and the new arrays of the layers that were run; keep the other layers."""
    run = len(frame)
    return jax.tree.map(change, slots[:run], tuple(frame)) + slots[run:]
