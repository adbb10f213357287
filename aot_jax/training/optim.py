"""Which parameters train, how fast, and with how much decay; AdamW, clipping, the average (paper, section 5; release).

Parameters are chosen by the patterns of one table.
"""

import re
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, path_aware_map
from ml_collections import ConfigDict

from aot_jax.typing import Array, Params

# Each name stands for patterns that are searched in "module/module/tensor". `check_patterns` sees that each matches.
FROZEN = {
    "mobilenet_v2": [r"^encoder/features_[0-3](_bn)?/"],
    "resnet50": [r"^encoder/(conv1|bn1)/", r"^encoder/layer1_"],
    "swin_b": [r"^encoder/patch_embed(_norm)?/", r"^encoder/layers_0_blocks_"],
    "small": [],
}
LAYER_NORMED = ("swin_b", "small")  # encoders without batch norm
BATCH_NORM = r"_bn/|/bn\d/"  # statistics and affine are constants everywhere
NO_DECAY = r"bias$|/scale$|relative_k_bias$|relative_v$|^decoder/conv_out/|relative_position_bias_table$"
ENCODER = r"^encoder/"
IDENTITY = r"^(identity_bank|id_norm)/"  # stops in the second half of video training
BANK = r"^identity_bank/"
READER = r"^encoder_projector/|^decoder/adapter_"  # what reads the encoder's maps, which are not normalised
GROUPS = {"encoder": ENCODER, "bank": BANK, "reader": READER}  # with learning rates of their own


def select(params: Params, pattern: str) -> Any:
    """Return a tree of bools like `params`: does the path hold the pattern?"""
    return path_aware_map(lambda path, _: re.search(pattern, "/".join(map(str, path))) is not None, params)


def frozen(params: Params, config: ConfigDict) -> Any:
    """Return a tree of bools like `params`: constants and, unless `train_all`, the encoder's first two stages."""
    stages = [] if config.train.train_all else FROZEN[config.model.encoder]
    return select(params, "|".join([*stages, BATCH_NORM]))


def decays(params: Params) -> Any:
    """Return a tree of bools like `params`: is the tensor decayed?"""
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

    The group "encoder" has the minimum plus `encoder_rate` of what "other" has above it; "bank" and "reader" have
    `bank_rate` and `reader_rate` of the whole.
    """
    warmup = train.warmup * train.steps
    rising = step / max(warmup, 1)
    # The release counts one step more than there are, so that the last update is still above the minimum.
    falling = jnp.maximum(0.0, 1 - (step - warmup) / (train.steps - warmup + 1)) ** train.power
    above = (train.learning_rate - train.min_learning_rate) * jnp.where(step < warmup, rising, falling)
    rate = train.min_learning_rate + (train.encoder_rate if group == "encoder" else 1.0) * above
    return rate * {"bank": train.bank_rate, "reader": train.reader_rate}.get(group, 1.0)


def make_optimizer(config: ConfigDict, params: Params) -> optax.GradientTransformation:
    """Make AdamW with a clipped global norm; a tensor's decay scales with its own learning rate. Frozen ones get 0."""
    train = config.train
    check_patterns(params, config.model.encoder)
    still = frozen(params, config)

    def group_of(fixed: bool, *members: bool) -> str:
        return "frozen" if fixed else next((name for name, own in zip(GROUPS, members, strict=True) if own), "other")

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


def hold_still(params: Params, config: ConfigDict) -> Params:
    """Stop gradients into frozen parameters, so that their backward pass is never computed."""
    still = frozen(params, config)
    return jax.tree.map(lambda x, fixed: jax.lax.stop_gradient(x) if fixed else x, params, still)


def ema_decay(update: Array | int, train: ConfigDict) -> Array:
    """Return the decay of the parameters' average at an update (from 1): min(1 - 1/span, (1 + n) / (10 + n))."""
    span = max(train.ema_span * train.steps, 1.0)
    return jnp.minimum(1 - 1 / span, (1 + update) / (10 + update))
