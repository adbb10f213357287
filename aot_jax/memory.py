"""The memory that a video's recurrence carries: fixed capacity, valid slots, writes and shifts (paper, section 4.2).

Nothing here has parameters. All shapes are fixed, so one compiled program serves every frame; a tracker grows the
capacity through a few sizes with `grow`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax

from aot_jax.models.identity import LayerIdentity, fuse
from aot_jax.models.lstt import FrameKV, LayerMemory
from aot_jax.typing import Array

EMPTY = -1  # frame index of a slot that holds nothing


@struct.dataclass
class Memory:
    """Keys and values of past frames for each layer, identities attached. b is the batch, or groups of objects."""

    long_keys: tuple[Array, ...]  # for each layer (b, n, k, h, w, d); (1, n, k, h, w, d) where samples share keys
    long_values: tuple[Array, ...]  # for each layer (b, n, k, h, w, d)
    long_valid: Array  # (b, k) bool: the slot holds a frame in which this sample's objects existed
    long_frame: Array  # (k,) int32: frame index of each slot, EMPTY where nothing is
    long_pinned: Array  # (k,) bool: a reference, never evicted
    long_depth: Array  # (k,) int32: layers that hold this frame; deeper ones were not run on it
    short_keys: tuple[Array, ...]  # for each layer (b or 1, n, t, h, w, d), the latest frame first
    short_values: tuple[Array, ...]  # for each layer (b, n, t, h, w, d)
    short_valid: Array  # (b, t) bool
    frame: Array  # int32: index of the frame memorised last, -1 before any
    last_written: Array  # int32: frame index of the last long-term write

    @property
    def capacity(self) -> int:
        """Return the number of long-term slots, k."""
        return self.long_valid.shape[1]

    def layers(self) -> tuple[LayerMemory, ...]:
        """Return what each layer attends to."""
        slots = zip(self.long_keys, self.long_values, self.short_keys, self.short_values, strict=True)
        return tuple(
            LayerMemory(lk, lv, self.long_valid & (self.long_depth > layer), sk, sv, self.short_valid)
            for layer, (lk, lv, sk, sv) in enumerate(slots)
        )


def empty_memory(frame_kv: Sequence[FrameKV], capacity: int, short_frames: int) -> Memory:
    """Make a memory without frames for keys and values like those of `frame_kv`.

    Args:
        frame_kv: for each layer a frame's key and value, (b, n, h, w, d); arrays or shapes.
        capacity: long-term slots, k.
        short_frames: short-term slots, t.
    """

    def slots(count: int, index: int) -> tuple[Array, ...]:
        return tuple(jnp.zeros((*kv[index].shape[:2], count, *kv[index].shape[2:]), kv[index].dtype) for kv in frame_kv)

    batch = frame_kv[0].value.shape[0]
    return Memory(
        long_keys=slots(capacity, 0),
        long_values=slots(capacity, 1),
        long_valid=jnp.zeros((batch, capacity), bool),
        long_frame=jnp.full((capacity,), EMPTY, jnp.int32),
        long_pinned=jnp.zeros((capacity,), bool),
        long_depth=jnp.zeros((capacity,), jnp.int32),
        short_keys=slots(short_frames, 0),
        short_values=slots(short_frames, 1),
        short_valid=jnp.zeros((batch, short_frames), bool),
        frame=jnp.int32(-1),
        last_written=jnp.int32(-1),
    )


def write(
    memory: Memory,
    frame_kv: Sequence[FrameKV],
    identity: Sequence[LayerIdentity],
    gap: int,
    reference: bool,
    present: Array | None = None,
) -> Memory:
    """Attach identities to the frame after `memory.frame` and store it.

    It always becomes the latest short-term frame. It enters long-term memory when it is a reference or when `gap`
    frames have passed since the last that did; it takes a free slot, else that of the oldest frame that is no
    reference. Where references fill every slot, a predicted frame is not kept. A reference restarts short-term memory.
    Layers that were not run keep their last short-term frames and do not see the new long-term one.

    Args:
        memory: the memory before.
        frame_kv: for each layer that was run the frame's own key and value.
        identity: for each of these layers its identities.
        gap: delta, in frames; 0: references only.
        reference: the mask is given, not predicted.
        present: (b,) bool, samples for which the frame holds their objects; None: all.

    Returns:
        The memory after; its capacity is unchanged.
    """
    keys, values = _fuse(frame_kv, identity)
    frame = memory.frame + 1
    present = jnp.ones((memory.long_valid.shape[0],), bool) if present is None else present
    if reference or not gap:
        due = jnp.bool_(reference)
    else:
        due = (frame - memory.last_written >= gap) & ~memory.long_pinned.all()
    # Free slots are EMPTY = -1 and so come first; references never.
    age = jnp.where(memory.long_pinned, jnp.iinfo(jnp.int32).max, memory.long_frame)
    slot = jnp.argmin(age)

    def put(slots: Array, new: Array) -> Array:
        new = new[:, :, None].astype(slots.dtype)
        if not reference and not gap:
            return slots
        old = lax.dynamic_slice_in_dim(slots, slot, 1, axis=2)
        return lax.dynamic_update_slice_in_dim(slots, jnp.where(due, new, old), slot, axis=2)

    def push(slots: Array, new: Array) -> Array:
        new = new[:, :, None].astype(slots.dtype)
        return jnp.concatenate([new, slots[:, :, :-1]], axis=2) if slots.shape[2] else slots

    here = (jnp.arange(memory.capacity) == slot) & due
    short_valid = memory.short_valid
    if short_valid.shape[1]:
        older = short_valid[:, :-1] & (not reference)
        short_valid = jnp.concatenate([present[:, None], older], axis=1)
    return replace(
        memory,
        long_keys=_each(put, memory.long_keys, keys),
        long_values=_each(put, memory.long_values, values),
        long_valid=jnp.where(here, present[:, None], memory.long_valid),
        long_frame=jnp.where(here, frame, memory.long_frame),
        long_pinned=jnp.where(here, reference, memory.long_pinned),
        long_depth=jnp.where(here, len(frame_kv), memory.long_depth),
        short_keys=_each(push, memory.short_keys, keys),
        short_values=_each(push, memory.short_values, values),
        short_valid=short_valid,
        frame=frame,
        last_written=jnp.where(due, frame, memory.last_written),
    )


def rewrite(
    memory: Memory, frame_kv: Sequence[FrameKV], identity: Sequence[LayerIdentity], slot: Array | int | None
) -> Memory:
    """Put a frame's keys and values, with other identities, in the place of those stored for it.

    Args:
        memory: the memory before.
        frame_kv: for each layer the frame's own key and value.
        identity: for each layer its identities.
        slot: of long-term memory; None: the latest short-term frame.
    """
    keys, values = _fuse(frame_kv, identity)
    kind, place = ("short", 0) if slot is None else ("long", slot)

    def put(slots: Array, new: Array) -> Array:
        if not slots.shape[2]:
            return slots
        return lax.dynamic_update_slice_in_dim(slots, new[:, :, None].astype(slots.dtype), place, axis=2)

    own: dict[str, Any] = {
        f"{kind}_{name}": _each(put, getattr(memory, f"{kind}_{name}"), new)
        for name, new in (("keys", keys), ("values", values))
    }
    return replace(memory, **own)


def drop_predicted(memory: Memory, samples: Array) -> Memory:
    """Leave only references in the long-term memory of `samples`, (b,) bool."""
    return replace(memory, long_valid=memory.long_valid & (memory.long_pinned | ~samples[:, None]))


def shrink(memory: Memory, batch: int) -> Memory:
    """Keep the first `batch` samples."""
    own = ("long_keys", "long_values", "long_valid", "short_keys", "short_values", "short_valid")
    return replace(memory, **{name: jax.tree.map(lambda x: x[:batch], getattr(memory, name)) for name in own})


def _fuse(frame_kv: Sequence[FrameKV], identity: Sequence[LayerIdentity]) -> tuple[list[Array], list[Array]]:
    """Attach identities at each layer; returns keys and values."""
    fused = [fuse(own.key, own.value, layer) for own, layer in zip(frame_kv, identity, strict=True)]
    return [key for key, _ in fused], [value for _, value in fused]


def _each(change: Callable[[Array, Array], Array], slots: tuple[Array, ...], new: list[Array]) -> tuple[Array, ...]:
    """Change the slots of the first layers, for which there is something new."""
    changed = tuple(change(old, own) for old, own in zip(slots, new, strict=False))
    return changed + slots[len(new) :]


def grow(memory: Memory, capacity: int | None = None, frame_kv: Sequence[FrameKV] | None = None) -> Memory:
    """Add empty slots up to `capacity`, and empty samples up to those of `frame_kv`; None leaves that as it is."""
    more_slots = 0 if capacity is None else capacity - memory.capacity
    more_samples = 0 if frame_kv is None else frame_kv[0].value.shape[0] - memory.long_valid.shape[0]

    def added(layer: int, index: int) -> int:
        kept = memory.long_keys, memory.long_values
        return 0 if frame_kv is None else frame_kv[layer][index].shape[0] - kept[index][layer].shape[0]

    def pad(x: Array, widths: dict[int, int], fill: float = 0) -> Array:
        return jnp.pad(x, [(0, widths.get(axis, 0)) for axis in range(x.ndim)], constant_values=fill)

    def kept_by_layer(kind: str, name: str) -> tuple[Array, ...]:
        slots, index = more_slots if kind == "long" else 0, ("keys", "values").index(name)
        layers = enumerate(getattr(memory, f"{kind}_{name}"))
        return tuple(pad(x, {0: added(layer, index), 2: slots}) for layer, x in layers)

    return replace(
        memory,
        long_keys=kept_by_layer("long", "keys"),
        long_values=kept_by_layer("long", "values"),
        short_keys=kept_by_layer("short", "keys"),
        short_values=kept_by_layer("short", "values"),
        short_valid=pad(memory.short_valid, {0: more_samples}),
        long_valid=pad(memory.long_valid, {0: more_samples, 1: more_slots}),
        long_frame=pad(memory.long_frame, {0: more_slots}, EMPTY),
        long_pinned=pad(memory.long_pinned, {0: more_slots}),
        long_depth=pad(memory.long_depth, {0: more_slots}),
    )
