"""First stage of aotl: 100,000 updates on clips made of static images.

python train.py --config configs/pretrain/aotl.py --config.encoder_weights=IMAGENET_WEIGHTS
python train.py --config configs/aotl.py --config.init_from=runs/pretrain_aotl
"""

from configs import aotl
from configs.common import static_stage


def get_config():
    return static_stage(aotl.get_config())
