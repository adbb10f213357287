"""SwinB-DeAOT-L: DeAOT-L with a Swin-B encoder."""

from aot_jax.configs import deaotl
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(deaotl.get_config(), "swin_b", "deaotl_swinb"), stage)
