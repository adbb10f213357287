"""First stage of aost_shared: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aost_shared.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aost_shared.py --config.init_from=runs/pretrain_aost_shared
"""

from configs import aost_shared
from configs.common import static_stage


def get_config():
    return static_stage(aost_shared.get_config())
