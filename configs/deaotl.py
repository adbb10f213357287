"""DeAOT-L: DeAOT-B with a memory frame every 5 (training: 2)."""

from aot_jax.configs import deaotb
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = deaotb.get_config()
    config.name = "deaotl"
    config.memory.gap = 5
    config.memory.train_gap = 2
    return at_stage(config, stage)
