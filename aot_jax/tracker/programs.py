"""The compiled programs of a frame: of one video, or of several that run as one batch (`*_all`).

Programs that depend on the frame's own size are small; those that hold the network depend on its input size alone, a
multiple of 16, so that videos of many sizes share them.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from aot_jax import memory, propagate
from aot_jax.memory import Memory
from aot_jax.models.aot import AOT
from aot_jax.models.layers import resize_bilinear
from aot_jax.preprocess import normalise, resize_cubic, resize_nearest
from aot_jax.propagate import mask_unused
from aot_jax.tracker.objects import join_logits, resized_labels, split_groups
from aot_jax.typing import Array, Params, Size


@dataclass(frozen=True)
class View:
    """How a stream sees the video."""

    size: Size  # size of the network's input
    output: Size  # size of the labels
    flip: bool  # frames are mirrored left to right


# Programs of the network itself: see `propagate` and `memory`.
encode = jax.jit(propagate.encode, static_argnames="model")
step = jax.jit(propagate.step, static_argnames=("model", "depth"))
begin = jax.jit(propagate.begin, static_argnames=("model", "capacity"))
memorize = jax.jit(propagate.memorize, static_argnames="model", donate_argnames="memory")
memorize_reference = jax.jit(functools.partial(propagate.memorize, reference=True), static_argnames="model")
grow = jax.jit(memory.grow, static_argnames="capacity")


@functools.partial(jax.jit, static_argnames="model", donate_argnames="before")
def rewrite(model: AOT, params: Params, before: Memory, frame_kv: tuple, masks: Array, slot: Array | None) -> Memory:
    """Attach the identities of other masks to a frame, and put it in its old place; see `memory.rewrite`."""
    return memory.rewrite(before, propagate.attach(model, params, frame_kv, masks), slot)


@functools.partial(jax.jit, static_argnames="view")
def prepare(frame: Array, view: View) -> Array:
    """Turn a frame (h, w, 3) uint8 into the network's input (1, h, w, 3)."""
    image = normalise(resize_cubic(frame, view.size))
    return (image[:, ::-1] if view.flip else image)[None]


@functools.partial(jax.jit, static_argnames=("view", "groups", "identities"))
def split_labels(labels: Array, view: View, groups: int, identities: int) -> Array:
    """Turn labels (h, w) in slots into masks (g, h, w) at the network's input size, 0 .. M."""
    labels = resize_nearest(labels[:, ::-1] if view.flip else labels, view.size)
    return split_groups(labels, groups, identities)


@functools.partial(jax.jit, static_argnames=("model", "view"))
def read_labels(model: AOT, logits: Array, used: Array, view: View) -> Array:
    """Turn logits (g, h, w, M + 1) at 4x into labels (h, w) int32 in slots; `used` is (g, M + 1) bool."""
    labels = resized_labels(mask_unused(logits, used), view.output, model.config.align_corners)
    return labels[:, ::-1] if view.flip else labels


def full_logits(model: AOT, logits: Array, used: Array, size: Size, flip: bool) -> Array:
    """Turn a stream's logits (g, h, w, M + 1) at 4x into (*size, 1 + g M), in the order of slots."""
    joined = join_logits(resize_bilinear(mask_unused(logits, used), size, model.config.align_corners))
    return joined[:, ::-1] if flip else joined


@functools.partial(jax.jit, static_argnames="view")
def prepare_all(frames: Sequence[Array], view: View) -> Array:
    """Turn a frame (h, w, 3) uint8 of each video into the network's input (v, h, w, 3)."""
    return jnp.concatenate([prepare(frame, view) for frame in frames])


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def step_all(model: AOT, params: Params, memories: Sequence[Memory], images: Array, depth: int) -> tuple:
    """Segment a frame (v, h, w, 3) of each video; returns logits and what layers keep, with v before all axes.

    All memories have the same capacity.
    """
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *memories)
    features = jax.tree.map(lambda x: x[:, None], propagate.encode(model, params, images))
    one = functools.partial(propagate.step, model, params, depth=depth)
    return jax.vmap(one)(stacked, features)


@functools.partial(jax.jit, static_argnames=("model", "view"))
def read_all(model: AOT, logits: Array, used: Array, view: View) -> tuple[tuple[Array, ...], ...]:
    """Turn logits (v, g, h, w, M + 1) at 4x into labels (h, w), masks (g, h, w) and logits of each video."""
    groups, identities = logits.shape[1], logits.shape[-1] - 1
    labels = [read_labels(model, *video, view) for video in zip(logits, used, strict=True)]
    masks = [split_labels(video, view, groups, identities) for video in labels]
    return tuple(labels), tuple(masks), tuple(logits)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="memories")
def memorize_all(
    model: AOT,
    params: Params,
    memories: Sequence[Memory],
    frame_kv: tuple,
    masks: Sequence[Array],
    index: Array,
    keep: Array,
) -> tuple[Memory, ...]:
    """Memorise a frame of each video: its index in `index` (v,), and in `keep` (v,) whether for the long term."""
    frames = jax.vmap(functools.partial(propagate.attach, model, params))(frame_kv, jnp.stack(masks))
    return tuple(
        memory.write(before, jax.tree.map(lambda x, i=i: x[i], frames), index[i], keep=keep[i])
        for i, before in enumerate(memories)
    )
