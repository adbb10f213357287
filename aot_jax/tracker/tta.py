"""Test-time augmentation: several streams of one video (paper, section 5).

Each stream is one scale and flip with a memory of its own; their probabilities are averaged at the output's size.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.aot import AOT
from aot_jax.tracker.programs import full_logits
from aot_jax.tracker.stream import Stream, StreamState
from aot_jax.typing import Array, Size

Streams = tuple[Stream, ...]
States = tuple[StreamState, ...]  # state of each stream


def advance(streams: Streams, states: States, frame: np.ndarray, used: np.ndarray, depth: int) -> tuple[States, Array]:
    """Segment a frame and memorise the result; returns the states and labels (h, w) in slots."""
    pairs = zip(streams, states, strict=True)
    states, labels = zip(*(stream.advance(state, frame, used, depth) for stream, state in pairs), strict=True)
    return states, _merge(streams, [state.logits for state in states], labels, used)


def advance_with_mask(
    streams: Streams,
    states: States,
    frame: np.ndarray,
    used: np.ndarray,
    depth: int,
    overlay: np.ndarray,
    corrected: np.ndarray,
    groups: int,
) -> tuple[States, Array]:
    """Segment a frame, lay a given mask over the result, and add that as a reference.

    Args:
        streams: the streams of the video.
        states: their states.
        frame: (h, w, 3) uint8.
        used: (g, M + 1) bool, identities in use before the mask.
        depth: LSTT layers to run.
        overlay: (h, w) int32, the mask in slots at the output's size.
        corrected: (slots,) bool, slots whose predicted pixels are erased, as the mask replaces them.
        groups: number of groups of objects, with those of the mask.

    Returns:
        The states, and labels (h, w) in slots.
    """
    pairs = tuple(zip(streams, states, strict=True))
    logits = [stream.segment(state.memory, frame, None, depth)[0] for stream, state in pairs]
    labels = [stream.labels(stream_logits, used) for stream, stream_logits in zip(streams, logits, strict=True)]
    merged = _lay_over(_merge(streams, logits, labels, used), overlay, corrected)
    return tuple(
        stream.add_reference(state, frame, _lay_over(predicted, overlay, corrected), groups)
        for (stream, state), predicted in zip(pairs, labels, strict=True)
    ), merged


def average_probabilities(streams: Streams, states: States, used: np.ndarray) -> Array:
    """Return (h, w, 1 + slots): the mean over streams of the last frame's probabilities."""
    return _average(*_arguments(streams, [state.logits for state in states], used))


def _merge(streams: Streams, logits: Sequence[Array], labels: Sequence[Array], used: np.ndarray) -> Array:
    """Return labels (h, w) in slots: the most probable by the mean over streams."""
    return labels[0] if len(labels) == 1 else _average_argmax(*_arguments(streams, logits, used))


def _arguments(streams: Streams, logits: Sequence[Array], used: np.ndarray) -> tuple:
    flips = tuple(stream.view.flip for stream in streams)
    return streams[0].model.module, tuple(logits), used, flips, streams[0].view.output


@functools.partial(jax.jit, static_argnames=("model", "flips", "size"))
def _average(model: AOT, logits: tuple[Array, ...], used: Array, flips: tuple[bool, ...], size: Size) -> Array:
    maps = [
        jax.nn.softmax(full_logits(model, stream_logits, used, size, flip), axis=-1)
        for stream_logits, flip in zip(logits, flips, strict=True)
    ]
    return sum(maps[1:], start=maps[0]) / len(maps)


@functools.partial(jax.jit, static_argnames=("model", "flips", "size"))
def _average_argmax(model: AOT, logits: tuple[Array, ...], used: Array, flips: tuple[bool, ...], size: Size) -> Array:
    return jnp.argmax(_average(model, logits, used, flips, size), axis=-1).astype(jnp.int32)


@jax.jit
def _lay_over(labels: Array, overlay: Array, corrected: Array) -> Array:
    return jnp.where(overlay != 0, overlay, jnp.where(corrected[labels], 0, labels))
