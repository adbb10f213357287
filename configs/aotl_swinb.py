"""SwinB-AOT-L: AOT-L with a Swin-B encoder."""

from configs import aotl


def get_config():
    config = aotl.get_config()
    config.name = "aotl_swinb"
    config.model.encoder = "swin_b"
    config.model.align_corners = False
    return config
