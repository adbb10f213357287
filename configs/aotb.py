"""AOT-B: MobileNetV2, three LSTT layers, the reference frame only in long-term memory."""

from aot_jax.configs import common


def get_config(stage=None):
    config = common.get_config()
    config.name = "aotb"
    return common.at_stage(config, stage)
