"""Test-time augmentation: average the probabilities of a tracker's streams at the frame's size (paper, section 6).

Each stream is one scale and flip with a memory of its own.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from aot_jax.models.aot import AOT
from aot_jax.tracker.stream import Stream, full_logits
from aot_jax.typing import Array, Size


@functools.partial(jax.jit, static_argnames=("model", "flips", "size"))
def _average(model: AOT, logits: tuple[Array, ...], used: Array, flips: tuple[bool, ...], size: Size) -> Array:
    maps = [
        jax.nn.softmax(full_logits(model, own, used, size, flip), axis=-1)
        for own, flip in zip(logits, flips, strict=True)
    ]
    return sum(maps[1:], start=maps[0]) / len(maps)


@functools.partial(jax.jit, static_argnames=("model", "flips", "size"))
def _average_argmax(model: AOT, logits: tuple[Array, ...], used: Array, flips: tuple[bool, ...], size: Size) -> Array:
    return jnp.argmax(_average(model, logits, used, flips, size), axis=-1).astype(jnp.int32)


def _arguments(streams: Sequence[Stream], used: np.ndarray, size: Size) -> tuple:
    flips = tuple(stream.view.flip for stream in streams)
    return streams[0].model.module, tuple(stream.logits for stream in streams), used, flips, size


def average_probabilities(streams: Sequence[Stream], used: np.ndarray, size: Size) -> Array:
    """Return (h, w, 1 + slots): the mean over streams of the last frame's probabilities."""
    return _average(*_arguments(streams, used, size))


def average_labels(streams: Sequence[Stream], used: np.ndarray, size: Size) -> Array:
    """Return labels (h, w) in slots: the most probable by the mean over streams."""
    return _average_argmax(*_arguments(streams, used, size))
