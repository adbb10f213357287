"""R50-DeAOT-L: DeAOT-L with a ResNet-50 encoder."""

from aot_jax.configs import deaotl
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(deaotl.get_config(), "resnet50", "deaotl_r50"), stage)
