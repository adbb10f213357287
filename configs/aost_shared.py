"""Shared AOST: AOST with one LSTT block used at each layer (paper, Table 2g)."""

from configs import aost


def get_config():
    config = aost.get_config()
    config.name = "aost_shared"
    config.model.share_blocks = True
    return config
