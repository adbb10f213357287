"""SwinB-AOST: AOST with a Swin-B encoder."""

from configs import aost


def get_config():
    config = aost.get_config()
    config.name = "aost_swinb"
    config.model.encoder = "swin_b"
    config.model.align_corners = False
    config.data.crop = 464
    config.train.min_learning_rate = 1e-5
    return config
