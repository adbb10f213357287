"""R50-AOST: AOST with a ResNet-50 encoder."""

from configs import aost


def get_config():
    config = aost.get_config()
    config.name = "aost_r50"
    config.model.encoder = "resnet50"
    return config
