"""DeAOT-T: DeAOT-B with one layer."""

from configs import deaotb
from configs.common import at_stage


def get_config(stage=None):
    config = deaotb.get_config()
    config.name = "deaott"
    config.model.depth = 1
    return at_stage(config, stage)
