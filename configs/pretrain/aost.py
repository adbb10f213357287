"""First stage of aost: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aost.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aost.py --config.init_from=runs/pretrain_aost
"""

from configs import aost
from configs.common import static_stage


def get_config():
    return static_stage(aost.get_config())
