"""R50-AOT-L: AOT-L with a ResNet-50 encoder."""

from configs import aotl


def get_config():
    config = aotl.get_config()
    config.name = "aotl_r50"
    config.model.encoder = "resnet50"
    config.train.min_learning_rate = 1e-5
    return config
