"""One update on all devices; the only use of `pmap`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from aot_jax.models.aot import AOT
from aot_jax.training.clip import ClipResult, clip_loss
from aot_jax.training.optim import IDENTITY, ema_decay, learning_rate, make_optimizer, select, stop_frozen
from aot_jax.training.state import TrainState
from aot_jax.typing import VOID, Array, Params

AXIS = "devices"
Batch = dict[str, Any]  # arrays: images, masks, objects, index, as `data_pipeline.pipeline` makes them


def make_train_step(
    model: AOT,
    config: ConfigDict,
    params: Params,
    devices: Sequence[jax.Device] | None = None,
    unroll: bool = True,
) -> Callable[[TrainState, Batch, bool], tuple[TrainState, dict[str, Array], Array]]:
    """Make the update: (state, batch, predicted_masks) to (state, figures, labels).

    The batch has a leading axis of devices and is split over it; state and figures are the same on all devices and go
    in and out without that axis. `predicted_masks` says whether this is the second half of video training. Labels
    (devices, b, t, h, w) uint8 are the clips' predicted ids.

    Every sample's random bits follow from the seed, the step and its own index, so they do not depend on how a batch
    is split over devices, hosts or accumulated parts. The old state's buffers are donated. `devices` are all of this
    process by default; `unroll` as of `clip_loss`.
    """
    optimizer = make_optimizer(config, params)
    train, gap = config.train, config.memory.train_gap

    def gradients(params: Params, batch: Batch, step: Array, predicted_masks: Array) -> tuple:
        key = jax.random.fold_in(jax.random.key(config.seed), step)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(batch["index"].astype(jnp.uint32))

        def loss(params: Params) -> tuple[Array, ClipResult]:
            return clip_loss(
                model,
                stop_frozen(params, config),
                batch["images"],
                batch["masks"],
                batch["objects"],
                step.astype(jnp.float32),
                train,
                gap,
                predicted_masks=predicted_masks,
                keys=keys,
                unroll=unroll,
            )

        (total, result), grads = jax.value_and_grad(loss, has_aux=True)(params)
        overlap = clip_overlap(result.labels, batch["masks"], model.config.identities)
        figures = {"loss": total, "J": overlap, "losses": result.losses.mean(axis=-1)}
        return grads, figures, jnp.moveaxis(result.labels, 0, 1).astype(jnp.uint8)

    def accumulated(params: Params, batch: Batch, step: Array, predicted_masks: Array) -> tuple:
        parts = train.accumulate
        if parts == 1:
            return gradients(params, batch, step, predicted_masks)
        batch = jax.tree.map(lambda x: x.reshape(parts, x.shape[0] // parts, *x.shape[1:]), batch)

        def add(total: Params, part: Batch) -> tuple[Params, Any]:
            grads, figures, labels = gradients(params, part, step, predicted_masks)
            return jax.tree.map(lambda a, b: a + b / parts, total, grads), (figures, labels)

        grads, (figures, labels) = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), batch)
        figures = jax.tree.map(lambda x: x.mean(axis=0), figures)
        return grads, figures, labels.reshape(-1, *labels.shape[2:])

    def update(state: TrainState, batch: Batch, predicted_masks: Array) -> tuple:
        grads, figures, labels = accumulated(state.params, batch, state.step, predicted_masks)
        grads, figures = jax.lax.pmean((grads, figures), AXIS)
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(norm) & jnp.isfinite(figures["loss"])
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        # Zero gradients are not enough: AdamW's momentum and decay would still move the identity bank.
        stop = select(state.params, IDENTITY)
        updates = jax.tree.map(lambda x, still: jnp.where(predicted_masks, 0, x) if still else x, updates, stop)
        params = optax.apply_updates(state.params, updates)
        decay = ema_decay(state.step + 1, train)
        ema = jax.tree.map(lambda average, new: average + (1 - decay) * (new - average), state.ema, params)
        new = (params, opt_state, ema)
        old = (state.params, state.opt_state, state.ema)
        params, opt_state, ema = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)
        skipped = jnp.where(finite, 0, 1)
        figures |= {
            "gradient_norm": norm,
            "learning_rate": learning_rate(state.step, train),
            "encoder_learning_rate": learning_rate(state.step, train, "encoder"),
            "skipped": state.skipped + skipped,
            "skipped_in_a_row": jnp.where(finite, 0, state.skipped_in_a_row + 1),
        }
        state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            ema=ema,
            skipped=figures["skipped"],
            skipped_in_a_row=figures["skipped_in_a_row"],
        )
        return state, figures, labels

    return jax.pmap(
        update,
        axis_name=AXIS,
        in_axes=(None, 0, None),
        out_axes=(None, None, 0),
        donate_argnums=(0,),
        devices=devices,
    )


def split(batch: Batch) -> Batch:
    """Give the arrays of this host's batch a leading axis of its devices."""
    devices = jax.local_device_count()
    return {name: np.reshape(x, (devices, len(x) // devices, *x.shape[1:])) for name, x in batch.items()}


def place(state: TrainState, devices: Sequence[jax.Device] | None = None) -> TrainState:
    """Copy a state to all devices, laid out as the update returns it; another layout would compile it twice."""
    mesh = jax.sharding.Mesh(np.array(devices or jax.local_devices()), (AXIS,))
    return jax.device_put(state, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def clip_overlap(labels: Array, masks: Array, identities: int) -> Array:
    """Return the mean J of the objects in the predicted frames of a batch of clips.

    It is `metrics.region_similarity` in a form that JAX compiles, over the objects present in each frame.

    Args:
        labels: (t, b, h, w) predicted ids.
        masks: (b, t, h, w) true ids; in a frame, objects in neither mask do not count.
        identities: M.
    """
    truth = jnp.moveaxis(masks, 1, 0)[1:].astype(jnp.int32)
    labels = jnp.where(truth == VOID, 0, labels[1:])

    def overlap(i: Array) -> tuple[Array, Array]:
        a, b = truth == i, labels == i
        union = (a | b).sum(axis=(-2, -1))
        return jnp.where(union > 0, (a & b).sum(axis=(-2, -1)) / jnp.maximum(union, 1), 0.0), union > 0

    values, present = jax.lax.map(overlap, jnp.arange(1, identities + 1))
    return values.sum() / jnp.maximum(present.sum(), 1)
