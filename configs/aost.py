"""AOST: MobileNetV2, LSTT block v2, one network for depths 1, 2 and 3, a memory frame every 5 (training: 2)."""

from aot_jax.configs import aotl
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = aotl.get_config()
    config.name = "aost"
    config.model.block = "v2"
    config.model.scalable = True
    return at_stage(config, stage)
