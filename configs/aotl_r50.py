"""R50-AOT-L: AOT-L with a ResNet-50 encoder."""

from aot_jax.configs.common import at_stage

from aot_jax.configs import aotl


def get_config(stage=None):
    config = aotl.get_config()
    config.name = "aotl_r50"
    config.model.encoder = "resnet50"
    config.train.min_learning_rate = 1e-5
    return at_stage(config, stage)
