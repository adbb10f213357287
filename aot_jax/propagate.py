"""One frame of the recurrence, shared by the training scan and the tracker: `step`, then `memorize`.

Both are pure functions of (params, memory, frame). For a video:

    logits, frame_kv = step(model, params, None, frame_0, mask=mask_0)          # the reference frame
    memory = begin(model, params, frame_kv, mask_0, capacity=4)
    for t, frame in enumerate(frames, 1):
        logits, frame_kv = step(model, params, memory, frame)
        memory = memorize(model, params, memory, frame_kv, mask_of(logits), t, keep=t % gap == 0)
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from aot_jax.memory import Memory, empty_memory, write
from aot_jax.models.aot import AOT, Features
from aot_jax.models.identity import unpermute_logits
from aot_jax.typing import Array, Params

UNUSED = -1e10  # logit of an unused identity


def encode(model: AOT, params: Params, images: Array, keys: Array | None = None) -> Features:
    """Encode images (b, h, w, 3); see `AOT.encode`."""
    return _apply(model, params, "encode", images, keys)


def step(
    model: AOT,
    params: Params,
    memory: Memory | None,
    frame: Array | Features,
    *,
    mask: Array | None = None,
    depth: int | None = None,
    permutation: Array | None = None,
    keys: Array | None = None,
    detach_identity: Array | bool = False,
    every_depth: bool = False,
) -> tuple[Array, tuple[Any, ...]]:
    """Segment one frame.

    Args:
        model: the network.
        params: its parameters.
        memory: memory of the frames before; ignored when `mask` is given, else required.
        frame: (b, h, w, 3) normalised image, or its features. With batch 1 it is shared by all of memory's (or the
            mask's) samples and encoded once.
        mask: (b, h, w) ids 0 .. M: makes this a reference frame, which attends to itself with these identities.
        depth: LSTT layers to run; None: all.
        permutation: (b, M) bank identity of each object; None: in order.
        keys: (b,) random keys of drop path while training.
        detach_identity: whether to stop gradients into the identity bank and its norm.
        every_depth: decode after each layer of a scalable network, as training does.

    Returns:
        Logits (b, h, w, M + 1) at 4x, in the order of objects, background first; with `every_depth`
        (l, b, h, w, M + 1). Then what each layer keeps of the frame, before identities are attached.
    """
    features = frame if isinstance(frame, Features) else encode(model, params, frame)
    identity = layers = None
    if mask is not None:
        batch = mask.shape[0]
        identity = _apply(model, params, "identify", mask, permutation, depth, detach_identity)
    else:
        assert memory is not None, "a frame without mask needs a memory"
        batch = memory.batch
        layers = memory.layers()

    projected = features.projected
    if keys is not None:  # each sample drops its own paths, so samples no longer share the image
        projected = jnp.broadcast_to(projected, (batch, *projected.shape[1:]))
    outputs, frame_kv = _apply(model, params, "propagate", projected, layers, identity, depth, keys)
    logits = _apply(model, params, "decode", features, outputs, every_depth)
    if permutation is not None:
        unpermute = jax.vmap(unpermute_logits, (0, None)) if every_depth else unpermute_logits
        logits = unpermute(logits, permutation)
    return logits, frame_kv


def memorize(
    model: AOT,
    params: Params,
    memory: Memory,
    frame_kv: Sequence[Any],
    mask: Array,
    index: Array | int,
    *,
    keep: Array | bool = True,
    reference: bool = False,
    present: Array | None = None,
    permutation: Array | None = None,
    detach_identity: Array | bool = False,
) -> Memory:
    """Attach a mask's identities to a frame and write it to memory; see `memory.write`.

    Args:
        model: the network.
        params: its parameters.
        memory: memory of the frames before.
        frame_kv: what `step` returned for this frame.
        mask: (b, h, w) ids 0 .. M at the network's input size: given, or predicted from `step`'s logits.
        index: index of the frame in its video.
        keep: whether the frame enters long-term memory: every delta-th frame does.
        reference: the mask is given.
        present: (b,) bool, samples whose objects exist in this frame; None: all.
        permutation: as in `step`.
        detach_identity: as in `step`.

    Returns:
        The memory with this frame.
    """
    frame = attach(model, params, frame_kv, mask, permutation, detach_identity)
    return write(memory, frame, index, keep=keep, reference=reference, present=present)


def begin(
    model: AOT,
    params: Params,
    frame_kv: Sequence[Any],
    mask: Array,
    capacity: int,
    *,
    permutation: Array | None = None,
    detach_identity: Array | bool = False,
) -> Memory:
    """Make a memory of `capacity` long-term slots that holds a video's first frame, a reference; see `memorize`."""
    frame = attach(model, params, frame_kv, mask, permutation, detach_identity)
    return write(empty_memory(frame, capacity, model.config.short_term_frames), frame, 0, reference=True)


def attach(
    model: AOT,
    params: Params,
    frame_kv: Sequence[Any],
    mask: Array,
    permutation: Array | None = None,
    detach_identity: Array | bool = False,
) -> tuple[Any, ...]:
    """Attach the identities of a mask (b, h, w) to a frame; see `AOT.attach`."""
    return _apply(model, params, "attach", frame_kv, mask, permutation, detach_identity)


def mask_unused(logits: Array, used: Array) -> Array:
    """Set the logits of unused identities to -1e10.

    Args:
        logits: (b, h, w, M + 1).
        used: (b,) int, number of objects, or (b, M + 1) bool, channels in use (background included).

    Example:
        >>> mask_unused(jnp.zeros((1, 1, 1, 4)), jnp.array([2])).tolist()  # background and objects 1, 2
        [[[[0.0, 0.0, 0.0, -10000000000.0]]]]
    """
    if used.ndim == 1:
        used = jnp.arange(logits.shape[-1]) <= used[:, None]
    return jnp.where(used[:, None, None], logits, jnp.asarray(UNUSED, logits.dtype))


def _apply(model: AOT, params: Params, method: str, *args: Any) -> Any:
    return model.apply({"params": params}, *args, method=method)
