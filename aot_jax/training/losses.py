"""Losses of one frame: half bootstrapped cross-entropy, half soft Jaccard (paper, section 5)."""

import jax
import jax.numpy as jnp

from aot_jax.typing import VOID, Array


def bootstrapped_cross_entropy(logits: Array, labels: Array, fraction: Array) -> Array:
    """Average the cross-entropy of each sample's hardest pixels.

    Args:
        logits: (b, h, w, m) float32, unused identities far below the others.
        labels: (b, h, w) integers in 0 .. m - 1, or VOID, whose loss is zero but which count as pixels.
        fraction: scalar in (0, 1], fraction of the pixels kept.

    Returns:
        (b,), the losses.
    """
    valid = labels != VOID
    index = jnp.where(valid, labels, 0)[..., None]
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=-1), index, axis=-1)[..., 0]
    losses = jnp.where(valid, losses, 0.0).reshape(labels.shape[0], -1)
    pixels = losses.shape[1]
    count = jnp.clip((fraction * pixels).astype(jnp.int32), 1, pixels)
    fixed = jax.lax.stop_gradient(losses)
    threshold = kth_largest(fixed, count)[:, None]
    # Pixels exactly at the threshold share the places that are left.
    harder, equal = fixed > threshold, fixed == threshold
    share = (count - harder.sum(axis=1, keepdims=True)) / equal.sum(axis=1, keepdims=True)
    weights = harder + equal * share
    return (losses * weights).sum(axis=1) / count


def kth_largest(x: Array, k: Array) -> Array:
    """Return the k-th largest entry of each row, found bit by bit: sorting takes ten times as long on the CPU.

    Args:
        x: (b, n) float32, none negative.
        k: scalar integer in 1 .. n.

    Returns:
        (b,), exactly the entry that sorting would give.
    """
    # Non-negative floats are ordered as their bits.
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)

    def add_bit(i: Array, found: Array) -> Array:
        larger = found | (1 << (30 - i))
        enough = (bits >= larger[:, None]).sum(axis=1) >= k
        return jnp.where(enough, larger, found)

    found = jax.lax.fori_loop(0, 31, add_bit, jnp.zeros(x.shape[0], jnp.int32))
    return jax.lax.bitcast_convert_type(found, jnp.float32)


def soft_jaccard(logits: Array, labels: Array) -> Array:
    """Average 1 - sum(p g) / (sum(p) + sum(g) - sum(p g)) over the classes present in each sample's labels.

    Arguments as in `bootstrapped_cross_entropy`; returns (b,). Void pixels are left out.
    """
    valid = (labels != VOID)[..., None]
    probabilities = jax.nn.softmax(logits, axis=-1) * valid
    truth = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32) * valid
    both = (probabilities * truth).sum(axis=(1, 2))
    area = truth.sum(axis=(1, 2))
    union = probabilities.sum(axis=(1, 2)) + area - both
    present = area > 0
    loss = jnp.where(present, 1 - both / (union + 1e-6), 0.0)
    return loss.sum(axis=1) / jnp.maximum(present.sum(axis=1), 1)


def frame_loss(logits: Array, labels: Array, fraction: Array) -> Array:
    """Return (b,): half of each loss. Arguments as in `bootstrapped_cross_entropy`."""
    return 0.5 * bootstrapped_cross_entropy(logits, labels, fraction) + 0.5 * soft_jaccard(logits, labels)


def hard_fraction(step: Array, mining_steps: float, hard_pixels: float) -> Array:
    """Return the fraction of pixels kept at `step`: from all, linearly, to `hard_pixels` after `mining_steps`."""
    ratio = jnp.minimum(1.0, step / mining_steps) if mining_steps else jnp.float32(1)
    return ratio * hard_pixels + (1 - ratio)


def auxiliary_weight(step: Array, fading_steps: float) -> Array:
    """Return the weight of the reference frame's loss at `step`: from 1, linearly, to 0 after `fading_steps`."""
    return jnp.maximum(0.0, 1 - step / fading_steps) if fading_steps else jnp.float32(0)
