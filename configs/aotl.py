"""AOT-L: MobileNetV2, three LSTT layers, a memory frame every 5 (training: 2)."""

from aot_jax.configs import common


def get_config(stage=None):
    config = common.get_config()
    config.name = "aotl"
    config.memory.gap = 5
    config.memory.train_gap = 2
    return common.at_stage(config, stage)
