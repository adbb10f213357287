"""R50-AOTv2-L: AOTv2-L with a ResNet-50 encoder."""

from aot_jax.configs.common import at_stage

from aot_jax.configs import aotv2l


def get_config(stage=None):
    config = aotv2l.get_config()
    config.name = "aotv2l_r50"
    config.model.encoder = "resnet50"
    config.train.min_learning_rate = 1e-5
    return at_stage(config, stage)
