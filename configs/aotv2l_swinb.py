"""SwinB-AOTv2-L: AOTv2-L with a Swin-B encoder."""

from configs import aotv2l


def get_config():
    config = aotv2l.get_config()
    config.name = "aotv2l_swinb"
    config.model.encoder = "swin_b"
    config.model.align_corners = False
    return config
