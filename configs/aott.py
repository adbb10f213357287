"""AOT-T: MobileNetV2, one LSTT layer, the reference frame only in long-term memory."""

from aot_jax.configs import common


def get_config(stage=None):
    config = common.get_config()
    config.name = "aott"
    config.model.depth = 1
    return common.at_stage(config, stage)
