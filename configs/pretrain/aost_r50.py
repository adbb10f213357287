"""First stage of aost_r50: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aost_r50.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aost_r50.py --config.init_from=runs/pretrain_aost_r50
"""

from configs import aost_r50
from configs.common import static_stage


def get_config():
    return static_stage(aost_r50.get_config())
