"""R50-AOTv2-L: AOTv2-L with a ResNet-50 encoder."""

from aot_jax.configs import aotv2l
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(aotv2l.get_config(), "resnet50", "aotv2l_r50"), stage)
