"""SwinB-AOST: AOST with a Swin-B encoder."""

from configs import aost


def get_config():
    config = aost.get_config()
    config.name = "aost_swinb"
    config.model.encoder = "swin_b"
    config.model.align_corners = False
    return config
