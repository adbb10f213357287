"""The optimizer: frozen parameters, learning rates, decay, AdamW, clipping, averaging (paper, section 5; release).

Parameters are selected by regex on their path.
"""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, path_aware_map
from ml_collections import ConfigDict

from aot_jax.typing import Array, Params

# Patterns are searched in the path "module/module/tensor"; `check_patterns` checks that each matches.
FROZEN = {
    "mobilenet_v2": [r"^encoder/features_[0-3](_bn)?/"],
    "resnet50": [r"^encoder/(conv1|bn1)/", r"^encoder/layer1_"],
    "swin_b": [r"^encoder/patch_embed(_norm)?/", r"^encoder/layers_0_blocks_"],
    "small": [],
}
LAYER_NORMED = ("swin_b", "small")  # encoders without batch norm
BATCH_NORM = r"_bn/|/bn\d/"  # batch norms, constant in every network
NO_DECAY = r"bias$|/scale$|relative_k_bias$|relative_v$|^decoder/conv_out/|relative_position_bias_table$"
ENCODER = r"^encoder/"
IDENTITY = r"^(identity_bank|id_norm)/"  # not trained in the second half of video training
BANK = r"^identity_bank/"
READER = r"^encoder_projector/|^decoder/adapter_"  # layers that read the encoder's maps, which are not normalised
GROUPS = {"encoder": ENCODER, "bank": BANK, "reader": READER}  # groups with their own learning rate


def select(params: Params, pattern: str) -> Any:
    """Return a tree of bools like `params`: whether the path matches `pattern`."""
    return path_aware_map(lambda path, _: re.search(pattern, "/".join(map(str, path))) is not None, params)


def frozen(params: Params, config: ConfigDict) -> Any:
    """Return a tree of bools like `params`: constants and, unless `train_all`, the encoder's first two stages."""
    stages = [] if config.train.train_all else FROZEN[config.model.encoder]
    return select(params, "|".join([*stages, BATCH_NORM]))


def decays(params: Params) -> Any:
    """Return a tree of bools like `params`: whether weight decay applies."""
    return jax.tree.map(lambda excepted: not excepted, select(params, NO_DECAY))


def check_patterns(params: Params, encoder: str) -> None:
    """Raise ValueError if a pattern that this network should match matches nothing."""
    paths = ["/".join(path) for path in flatten_dict(params)]
    wanted = [*FROZEN[encoder], *GROUPS.values(), IDENTITY, NO_DECAY] + (
        [] if encoder in LAYER_NORMED else [BATCH_NORM]
    )
    for pattern in wanted:
        if not any(re.search(pattern, path) for path in paths):
            raise ValueError(f"no parameter of this network matches {pattern!r}; the table in optim.py is out of date")


def learning_rate(step: Array | int, train: ConfigDict, group: str = "other") -> Array:
    """Return the learning rate of an update: linear warm-up from the minimum, then polynomial decay down to it.

    For the group "encoder" the part above the minimum is multiplied by `encoder_rate`; for "bank" and "reader" the
    whole rate by `bank_rate` and `reader_rate`.
    """
    warmup = train.warmup * train.steps
    rising = step / max(warmup, 1)
    # The release counts one step more than there are, so that the last update is still above the minimum.
    falling = jnp.maximum(0.0, 1 - (step - warmup) / (train.steps - warmup + 1)) ** train.power
    above = (train.learning_rate - train.min_learning_rate) * jnp.where(step < warmup, rising, falling)
    rate = train.min_learning_rate + (train.encoder_rate if group == "encoder" else 1.0) * above
    return rate * {"bank": train.bank_rate, "reader": train.reader_rate}.get(group, 1.0)


def make_optimizer(config: ConfigDict, params: Params) -> optax.GradientTransformation:
    """Make AdamW with clipping by global norm; decay scales with a tensor's learning rate, frozen tensors are fixed."""
    train = config.train
    check_patterns(params, config.model.encoder)
    still = frozen(params, config)

    def group_of(fixed: bool, *members: bool) -> str:
        return "frozen" if fixed else next((name for name, hit in zip(GROUPS, members, strict=True) if hit), "other")

    groups = jax.tree.map(group_of, still, *(select(params, pattern) for pattern in GROUPS.values()))

    def adamw(group: str) -> optax.GradientTransformation:
        return optax.adamw(
            lambda step: learning_rate(step, train, group),
            b1=0.9,
            b2=0.999,
            eps=1e-8,
            weight_decay=train.weight_decay,
            mask=decays,
        )

    return optax.chain(
        optax.clip_by_global_norm(train.clip_norm),
        optax.partition(
            {"frozen": optax.set_to_zero()} | {group: adamw(group) for group in (*GROUPS, "other")}, groups
        ),
    )


def stop_frozen(params: Params, config: ConfigDict) -> Params:
    """Stop gradients into frozen parameters, so that their backward pass is never computed."""
    still = frozen(params, config)
    return jax.tree.map(lambda x, fixed: jax.lax.stop_gradient(x) if fixed else x, params, still)


def ema_decay(update: Array | int, train: ConfigDict) -> Array:
    """Return the decay of the parameters' moving average at update n, from 1: min(1 - 1/span, (1 + n) / (10 + n))."""
    span = max(train.ema_span * train.steps, 1.0)
    return jnp.minimum(1 - 1 / span, (1 + update) / (10 + update))
