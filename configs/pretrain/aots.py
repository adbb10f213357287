"""First stage of aots: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aots.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aots.py --config.init_from=runs/pretrain_aots
"""

from configs import aots
from configs.common import static_stage


def get_config():
    return static_stage(aots.get_config())
