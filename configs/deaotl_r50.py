"""R50-DeAOT-L: DeAOT-L with a ResNet-50 encoder."""

from aot_jax.configs.common import at_stage

from aot_jax.configs import deaotl


def get_config(stage=None):
    config = deaotl.get_config()
    config.name = "deaotl_r50"
    config.model.encoder = "resnet50"
    config.train.min_learning_rate = 1e-5
    return at_stage(config, stage)
