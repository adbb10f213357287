"""SwinB-AOT-L: AOT-L with a Swin-B encoder."""

from aot_jax.configs import aotl
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(aotl.get_config(), "swin_b", "aotl_swinb"), stage)
