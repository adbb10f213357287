"""R50-AOT-L: AOT-L with a ResNet-50 encoder."""

from aot_jax.configs import aotl
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(aotl.get_config(), "resnet50", "aotl_r50"), stage)
