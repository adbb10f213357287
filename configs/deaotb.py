"""DeAOT-B: MobileNetV2, three layers of gated propagation, the reference frame only in long-term memory."""

from aot_jax.configs import common


def get_config(stage=None):
    config = common.get_config()
    config.name = "deaotb"
    config.model.block = "gpm"
    config.model.heads = 1
    config.model.sine_position = False
    config.data.augmentation = "v2"
    return common.at_stage(config, stage)
