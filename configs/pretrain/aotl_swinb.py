"""First stage of aotl_swinb: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aotl_swinb.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aotl_swinb.py --config.init_from=runs/pretrain_aotl_swinb
"""

from configs import aotl_swinb
from configs.common import static_stage


def get_config():
    return static_stage(aotl_swinb.get_config())
