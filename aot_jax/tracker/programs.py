"""The compiled programs of a frame, `step` and `memorize`: of one video, or of several as one batch (`*_all`).

`step` runs the network; on the CPU its encoder is a program of its own, `encode`. Both depend on the network's input
size, 16 n or 16 n + 1, rather than the frame's, so that videos of many sizes share them; `step` is also compiled for
each depth and capacity of memory. `memorize` depends on the size of the labels too; it is small.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax import memory, propagate
from aot_jax.memory import Memory
from aot_jax.models.aot import AOT, Features
from aot_jax.models.layers import resize_bilinear
from aot_jax.preprocess import normalise, resize_cubic, resize_nearest
from aot_jax.propagate import mask_unused
from aot_jax.tracker.objects import join_logits, resized_labels, split_groups
from aot_jax.typing import Array, ArrayLike, Params, Size


@dataclass(frozen=True)
class View:
    """How a stream sees the video."""

    size: Size  # size of the network's input
    output: Size  # size of the labels
    flip: bool  # frames are mirrored left to right


begin = jax.jit(propagate.begin, static_argnames=("model", "capacity"))
memorize_reference = jax.jit(functools.partial(propagate.memorize, reference=True), static_argnames="model")
grow = jax.jit(memory.grow, static_argnames="capacity")


class Padded(NamedTuple):
    """A frame padded so that those of similar sizes have one shape."""

    pixels: ArrayLike  # (H, W, 3) uint8
    kind: ArrayLike  # (3,) int32: height and width without padding, and whether the network sees it mirrored


def pad(frame: ArrayLike, flip: bool) -> Padded:
    """Pad a frame (h, w, 3): frames that the network sees at one size, without limits and scales, get one shape."""
    height, width, channels = frame.shape
    pixels = np.zeros(((height + 7) // 16 * 16 + 16, (width + 7) // 16 * 16 + 16, channels), np.uint8)
    pixels[:height, :width] = frame
    return Padded(pixels, np.array((height, width, flip), np.int32))


def prepare(frame: Padded, size: Size) -> Array:
    """Turn a frame into the network's input (1, *size, 3)."""
    height, width, flip = frame.kind
    return normalise(resize_cubic(frame.pixels, size, (height, width), flip == 1))[None]


def encodes_apart() -> bool:
    """Tell whether the encoder is a program of its own.

    On the CPU it is: starting a program costs nothing beside a frame, but `step` is compiled for the reference and for
    each depth and capacity of memory, in 9.4 s of CPU time with the encoder and 5.9 s without (AOTT, 240x427).
    """
    return jax.default_backend() == "cpu"


@functools.partial(jax.jit, static_argnames=("model", "size"))
def encode(model: AOT, params: Params, frame: Padded, size: Size) -> Features:
    """Encode a frame."""
    return propagate.encode(model, params, prepare(frame, size))


@functools.partial(jax.jit, static_argnames=("model", "size", "depth"))
def step(
    model: AOT,
    params: Params,
    memory: Memory | None,
    frame: Padded | Features,
    masks: Array | None,
    size: Size,
    depth: int,
) -> tuple:
    """Segment a frame, or read it with its masks as a reference; see `propagate.step`."""
    image = frame if isinstance(frame, Features) else prepare(frame, size)
    return propagate.step(model, params, memory, image, mask=masks, depth=depth)


@functools.partial(jax.jit, static_argnames="model", donate_argnames="before")
def rewrite(model: AOT, params: Params, before: Memory, frame_kv: tuple, masks: Array, slot: Array | None) -> Memory:
    """Attach the identities of other masks to a frame, and put it in its old place; see `memory.rewrite`."""
    return memory.rewrite(before, propagate.attach(model, params, frame_kv, masks), slot)


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


@functools.partial(jax.jit, static_argnames=("model", "view"), donate_argnames="memory")
def memorize(
    model: AOT,
    params: Params,
    memory: Memory,
    frame_kv: tuple,
    logits: Array,
    used: Array,
    index: Array,
    keep: Array,
    view: View,
) -> tuple[Memory, Array]:
    """Label a frame and memorise the result: its index, and in `keep` whether for the long term; see `read_labels`."""
    labels = read_labels(model, logits, used, view)
    masks = split_labels(labels, view, memory.batch, model.config.identities)
    return propagate.memorize(model, params, memory, frame_kv, masks, index, keep=keep), labels


def full_logits(model: AOT, logits: Array, used: Array, size: Size, flip: bool) -> Array:
    """Turn a stream's logits (g, h, w, M + 1) at 4x into (*size, 1 + g M), in the order of slots."""
    joined = join_logits(resize_bilinear(mask_unused(logits, used), size, model.config.align_corners))
    return joined[:, ::-1] if flip else joined


@functools.partial(jax.jit, static_argnames=("model", "size", "depth"))
def step_all(
    model: AOT, params: Params, memories: Sequence[Memory], frames: Sequence[Padded], size: Size, depth: int
) -> tuple:
    """Segment a frame of each video; returns logits and what layers keep, with v before all axes.

    All memories have the same capacity.
    """
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *memories)
    images = jnp.concatenate([prepare(frame, size) for frame in frames])
    features = jax.tree.map(lambda x: x[:, None], propagate.encode(model, params, images))
    one = functools.partial(propagate.step, model, params, depth=depth)
    return jax.vmap(one)(stacked, features)


@functools.partial(jax.jit, static_argnames=("model", "view"), donate_argnames="memories")
def memorize_all(
    model: AOT,
    params: Params,
    memories: Sequence[Memory],
    frame_kv: tuple,
    logits: Array,
    used: Array,
    index: Array,
    keep: Array,
    view: View,
) -> tuple[tuple[Memory, ...], tuple[Array, ...], tuple[Array, ...]]:
    """Do as `memorize` for each video, from arrays with v before all axes; returns memories, labels and logits."""
    groups, identities = memories[0].batch, model.config.identities
    labels = [read_labels(model, *video, view) for video in zip(logits, used, strict=True)]
    masks = jnp.stack([split_labels(video, view, groups, identities) for video in labels])
    frames = jax.vmap(functools.partial(propagate.attach, model, params))(frame_kv, masks)
    written = tuple(
        memory.write(before, jax.tree.map(lambda x, i=i: x[i], frames), index[i], keep=keep[i])
        for i, before in enumerate(memories)
    )
    return written, tuple(labels), tuple(logits)
