"""SwinB-AOT-L: AOT-L with a Swin-B encoder."""

from aot_jax.configs.common import at_stage

from aot_jax.configs import aotl


def get_config(stage=None):
    config = aotl.get_config()
    config.name = "aotl_swinb"
    config.model.encoder = "swin_b"
    config.model.align_corners = False
    config.data.crop = 464
    config.train.min_learning_rate = 1e-5
    return at_stage(config, stage)
