"""The state that each update takes and returns."""

import jax
import jax.numpy as jnp
import optax
from flax import struct
from ml_collections import ConfigDict

from aot_jax.training.optim import make_optimizer
from aot_jax.typing import Array, Params


@struct.dataclass
class TrainState:
    """All that a run needs to resume, besides the config; the data follow from the step."""

    step: Array  # int32, updates made, skipped ones included
    params: Params  # float32
    opt_state: optax.OptState
    ema: Params  # float32, moving average of params, which is evaluated
    skipped: Array  # int32, updates skipped because loss or gradients were not finite
    skipped_in_a_row: Array  # int32, those since the last update that was applied


def make_state(params: Params, config: ConfigDict) -> TrainState:
    """Make the initial state from parameters."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state=make_optimizer(config, params).init(params),
        ema=jax.tree.map(jnp.copy, params),
        skipped=jnp.int32(0),
        skipped_in_a_row=jnp.int32(0),
    )
