"""Shared AOST: AOST with one LSTT block used at each layer (paper, Table 2g)."""

from aot_jax.configs import aost
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = aost.get_config()
    config.name = "aost_shared"
    config.model.share_blocks = True
    return at_stage(config, stage)
