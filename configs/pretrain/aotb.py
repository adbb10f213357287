"""First stage of aotb: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aotb.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aotb.py --config.init_from=runs/pretrain_aotb
"""

from configs import aotb
from configs.common import static_stage


def get_config():
    return static_stage(aotb.get_config())
