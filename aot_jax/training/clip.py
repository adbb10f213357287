"""The loss of a batch of clips: the tracker's own recurrence, unrolled over time and differentiated.

Frame 0 is the reference; every other frame is predicted from the memory of those before.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange

from aot_jax import propagate
from aot_jax.memory import Memory
from aot_jax.models.aot import AOT, Features
from aot_jax.models.layers import fold_keys, resize_bilinear
from aot_jax.preprocess import normalise
from aot_jax.training.losses import auxiliary_weight, frame_loss, hard_fraction
from aot_jax.typing import Array, Params


class ClipResult(NamedTuple):
    """Losses and labels of a batch of clips."""

    losses: Array  # (t, l, b), by frame (0: the reference), depth and sample
    labels: Array  # (t, b, h, w) predicted ids, at full depth


def clip_loss(
    model: AOT,
    params: Params,
    images: Array,
    masks: Array,
    objects: Array,
    step: Array,
    train: Any,
    gap: int,
    *,
    predicted_masks: Array | bool,
    keys: Array | None = None,
    unroll: bool = True,
) -> tuple[Array, ClipResult]:
    """Compute the training loss of a batch of clips (paper, section 5 and Eq. 4).

    Args:
        model: the network.
        params: its parameters.
        images: (b, t, h, w, 3) uint8 RGB, or float32 normalised.
        masks: (b, t, h, w) integers: 0 background, 1 .. objects, 255 void.
        objects: (b,) number of objects in each clip.
        step: update number, for the weights that change during training.
        train: `config.train`.
        gap: delta, frames between long-term writes; 0: the reference alone.
        predicted_masks: scalar bool, whether memory takes predicted masks and the identity bank gets no gradient
            (second half of video training).
        keys: (b,) random keys for drop path and for which identity each object takes; None: neither.
        unroll: unroll the loop over frames. Else less is compiled, but the backward pass keeps what it needs in stacked
            buffers, which takes up to three times as long on the CPU.

    Returns:
        The mean over predicted frames and samples, plus the weighted loss of the reference frame; and the details.
    """
    batch, frames = masks.shape[:2]
    permutation = None
    if keys is not None:
        identities = model.config.identities
        permutation = jax.vmap(lambda key: jax.random.permutation(jax.random.fold_in(key, 0), identities))(keys)
    images = rearrange(normalise(images) if images.dtype == jnp.uint8 else images, "b t h w c -> (t b) h w c")
    frame_keys = None if keys is None else jnp.stack([fold_keys(keys, 1 + t) for t in range(frames)])  # (t, b)
    features = propagate.encode(model, params, images, None if frame_keys is None else frame_keys.reshape(-1))
    features = jax.tree.map(lambda x: rearrange(x, "(t b) ... -> t b ...", b=batch), features)
    masks = rearrange(masks, "b t h w -> t b h w").astype(jnp.int32)
    fraction = hard_fraction(step, train.hard_mining * train.steps, train.hard_pixels)
    options: dict[str, Any] = {"permutation": permutation, "detach_identity": predicted_masks}

    def losses_and_labels(logits: Array, truth: Array) -> tuple[Array, Array]:
        """Turn logits (l, b, h, w, m) at 4x into losses (l, b) and labels (b, h, w)."""
        depths = logits.shape[0]
        logits = propagate.mask_unused(rearrange(logits, "l b h w m -> (l b) h w m"), jnp.tile(objects, depths))
        logits = resize_bilinear(logits, truth.shape[1:], model.config.align_corners)
        losses = frame_loss(logits, jnp.tile(truth, (depths, 1, 1)), fraction)
        return losses.reshape(depths, batch), logits[-batch:].argmax(axis=-1)

    first = jax.tree.map(lambda x: x[0], features)
    keys = None if frame_keys is None else frame_keys[0]
    logits, frame_kv = propagate.step(model, params, None, first, mask=masks[0], keys=keys, every_depth=True, **options)
    reference_losses, reference_labels = losses_and_labels(logits, masks[0])
    capacity = 1 + (max(frames - 2, 0) // gap if gap else 0)
    memory = propagate.begin(model, params, frame_kv, masks[0], capacity, **options)

    def advance(memory: Memory, now: tuple[Array, Features, Array, Array | None]) -> tuple[Memory, tuple[Array, Array]]:
        t, frame, truth, own_keys = now
        logits, frame_kv = propagate.step(model, params, memory, frame, keys=own_keys, every_depth=True, **options)
        losses, labels = losses_and_labels(logits, truth)
        mask = jnp.where(predicted_masks, labels, truth)
        keep = t % gap == 0 if gap else False
        return propagate.memorize(model, params, memory, frame_kv, mask, t, keep=keep, **options), (losses, labels)

    if train.rematerialise:
        advance = jax.checkpoint(advance)
    later = jax.tree.map(lambda x: x[1:], (jnp.arange(frames), features, masks, frame_keys))
    _, (losses, labels) = jax.lax.scan(advance, memory, later, unroll=unroll)

    losses = jnp.concatenate([reference_losses[None], losses])
    labels = jnp.concatenate([reference_labels[None], labels])
    weights = train.depth_weight ** jnp.arange(losses.shape[1])
    by_frame = jnp.einsum("tlb,l->tb", losses, weights / weights.sum())
    auxiliary = auxiliary_weight(step, train.auxiliary * train.steps)
    total = by_frame[1:].mean() + auxiliary * by_frame[0].mean()
    return total, ClipResult(losses, labels)
