"""DeAOT-S: DeAOT-B with two layers."""

from aot_jax.configs import deaotb
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = deaotb.get_config()
    config.name = "deaots"
    config.model.depth = 2
    return at_stage(config, stage)
