"""First stage of aotl_r50: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aotl_r50.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aotl_r50.py --config.init_from=runs/pretrain_aotl_r50
"""

from configs import aotl_r50
from configs.common import static_stage


def get_config():
    return static_stage(aotl_r50.get_config())
