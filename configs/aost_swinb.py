"""SwinB-AOST: AOST with a Swin-B encoder."""

from aot_jax.configs import aost
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(aost.get_config(), "swin_b", "aost_swinb"), stage)
