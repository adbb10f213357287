"""First stage of aotv2l_swinb: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aotv2l_swinb.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aotv2l_swinb.py --config.init_from=runs/pretrain_aotv2l_swinb
"""

from configs import aotv2l_swinb
from configs.common import static_stage


def get_config():
    return static_stage(aotv2l_swinb.get_config())
