"""AOT-S: MobileNetV2, two LSTT layers, the reference frame only in long-term memory."""

from aot_jax.configs import common


def get_config(stage=None):
    config = common.get_config()
    config.name = "aots"
    config.model.depth = 2
    return common.at_stage(config, stage)
