"""DeAOT-T: DeAOT-B with one layer."""

from aot_jax.configs import deaotb
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = deaotb.get_config()
    config.name = "deaott"
    config.model.depth = 1
    return at_stage(config, stage)
