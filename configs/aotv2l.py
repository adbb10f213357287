"""AOTv2-L: AOT-L with LSTT block v2."""

from configs import aotl


def get_config():
    config = aotl.get_config()
    config.name = "aotv2l"
    config.model.block = "v2"
    return config
