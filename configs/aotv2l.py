"""AOTv2-L: AOT-L with LSTT block v2."""

from aot_jax.configs import aotl
from aot_jax.configs.common import at_stage


def get_config(stage=None):
    config = aotl.get_config()
    config.name = "aotv2l"
    config.model.block = "v2"
    return at_stage(config, stage)
