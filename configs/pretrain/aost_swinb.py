"""First stage of aost_swinb: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aost_swinb.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aost_swinb.py --config.init_from=runs/pretrain_aost_swinb
"""

from configs import aost_swinb
from configs.common import static_stage


def get_config():
    return static_stage(aost_swinb.get_config())
