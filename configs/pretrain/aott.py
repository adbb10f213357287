"""First stage of aott: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aott.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aott.py --config.init_from=runs/pretrain_aott
"""

from configs import aott
from configs.common import static_stage


def get_config():
    return static_stage(aott.get_config())
