"""R50-AOTv2-L: AOTv2-L with a ResNet-50 encoder."""

from configs import aotv2l
from configs.common import at_stage


def get_config(stage=None):
    config = aotv2l.get_config()
    config.name = "aotv2l_r50"
    config.model.encoder = "resnet50"
    config.train.min_learning_rate = 1e-5
    return at_stage(config, stage)
