"""What a training run carries from step to step."""

import jax
import jax.numpy as jnp
import optax
from flax import struct
from ml_collections import ConfigDict

from aot_jax.training.optim import make_optimizer
from aot_jax.typing import Array, Params


@struct.dataclass
class TrainState:
    """Everything that a resumed run needs but the config: data follow from the step."""

    step: Array  # int32, updates tried
    params: Params  # float32
    opt_state: optax.OptState
    ema: Params  # float32, the average that is evaluated
    skipped: Array  # int32, updates skipped since the start because something was not finite
    skipped_in_a_row: Array  # int32


def make_state(params: Params, config: ConfigDict) -> TrainState:
    """Start a run from parameters."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state=make_optimizer(config, params).init(params),
        ema=jax.tree.map(jnp.copy, params),
        skipped=jnp.int32(0),
        skipped_in_a_row=jnp.int32(0),
    )
