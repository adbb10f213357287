"""R50-AOST: AOST with a ResNet-50 encoder; the second stage, on DAVIS 2017 and YouTube-VOS 2019.

    python train.py --config configs/aost_r50.py:pretrain --config.encoder_weights=resnet50.pth
    python train.py --config configs/aost_r50.py --config.init_from=runs/pretrain_aost_r50
    python eval.py --split davis17 --config configs/aost_r50.py --depth 3

16 clips of five frames of 465 x 465 pixels an update, 100,000 updates in each stage, split over all GPUs.
"""

from aot_jax.configs import aost
from aot_jax.configs.common import at_stage, with_encoder


def get_config(stage=None):
    return at_stage(with_encoder(aost.get_config(), "resnet50", "aost_r50"), stage)
