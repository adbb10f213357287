"""Learning rates of the groups: the first step of AdamW has the size of the learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.config import load_config
from aot_jax.network import make_model, param_shapes
from aot_jax.training.optim import make_optimizer


@pytest.mark.usefixtures("tiny_encoder")
def test_each_group_has_its_learning_rate():
    rates = ["learning_rate=1e-3", "min_learning_rate=1e-4", "encoder_rate=0.1", "bank_rate=0.5", "reader_rate=0.01"]
    config = load_config("aott", [*tiny.SIZES, *(f"train.{field}" for field in [*rates, "warmup=0", "clip_norm=1e9"])])
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), param_shapes(make_model(config)))
    optimizer = make_optimizer(config, params)

    @jax.jit
    def first_update(params):
        return optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)[0]

    updates = first_update(params)
    moved = {path: float(-np.asarray(x).reshape(-1)[0]) for path, x in flatten_dict(updates, sep="/").items()}
    want = {
        "identity_bank/kernel": 0.5e-3,
        "identity_bank/bias": 0.5e-3,
        "encoder_projector/kernel": 0.01e-3,
        "decoder/adapter_4x/kernel": 0.01e-3,
        "decoder/conv_out/kernel": 1e-3,
        "lstt/layers_0/query/kernel": 1e-3,
    }
    for path, rate in want.items():
        assert moved[path] == pytest.approx(rate, rel=1e-4), path
    encoder = {rate for path, rate in moved.items() if path.startswith("encoder/")}
    assert 0.0 in encoder  # frozen
    assert max(encoder) == pytest.approx(1e-4 + 0.1 * 9e-4, rel=1e-4)
