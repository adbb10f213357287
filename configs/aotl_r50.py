"""R50-AOT-L: AOT-L with a ResNet-50 encoder."""

from configs import aotl


def get_config():
    config = aotl.get_config()
    config.name = "aotl_r50"
    config.model.encoder = "resnet50"
    return config
