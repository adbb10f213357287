"""The weights that ship: AOST with MobileNetV2, which runs at depth 1, 2 and 3, trained on two CPU cores.

    python train.py --config configs/shipped.py:pretrain --config.data.root=DATA \
      --config.encoder_weights=mobilenet_v2_imagenet.npz
    python train.py --config configs/shipped.py:moving --config.data.root=DATA \
      --config.init_from=runs/pretrain_shipped
    python train.py --config configs/shipped.py:longer --config.data.root=DATA --config.init_from=runs/moving_shipped
    python train.py --config configs/shipped.py --config.data.root=DATA --config.init_from=runs/longer_shipped
    python -m aot_jax.weights export runs/shipped --output FILE.safetensors --data TEXT --licence TEXT

DATA holds static_240 (8,050 images with masks, short side 240, a third with several objects), davis_train_288 (the
training sequences of DAVIS 2016, short side 288), videos_240 (22 videos of several objects, short side 240) and, for
eval.py, DAVIS (five validation sequences) and DAVIS2017_240p (`schoolgirls`, seven people who look alike).

The first stage is a short form of the paper's, on clips of still images. The second, `moving`, mixes real videos with
moving clips (two thirds; see `data.moving`): objects cut from images cross and occlude each other over a moving
background, some of them twice, since the few real videos teach little about telling objects apart. The third, `longer`,
continues from it with predicted masks in memory from early on, faster objects and more clips of real videos. The
last is short: two thirds of its clips are from DAVIS, without colour augmentation.

4 clips of 161 x 161 pixels an update; 0.15 - 0.35 updates a second on two cores of an AMD EPYC that ran other jobs too.
docs/weights.md describes the results.
"""

from aot_jax.configs import aost


def get_config(stage=None):
    if stage not in ("pretrain", "moving", "longer", None):
        raise ValueError(f"there is no stage {stage!r}; it is pretrain, moving or longer, or none for the last one")
    config = aost.get_config("pretrain" if stage == "pretrain" else None)
    config.name = f"{stage}_shipped" if stage else "shipped"
    # Initial values with which identities are learned in a few thousand updates; see common.py.
    config.model.bank_gain = 4.0
    config.model.shortcut_gain = 0.03
    config.model.locality = 1.0
    config.model.drop_path = 0.0
    config.train.bank_rate = 0.005
    config.train.reader_rate = 0.05

    # Size as in training: at 854, the width of DAVIS, scores are lower (docs/weights.md).
    config.inference.max_long_edge = 416

    config.data.augmentation = "v2"
    config.data.crop = 161
    config.data.max_objects = 7
    config.train.batch_size = 4
    config.train.checkpoint_every = 100
    config.train.keep_every = 0
    if stage == "pretrain":
        config.data.datasets = (("static", 1, "static_240"),)
        config.data.frames = 3
        config.data.merge_probability = 0.5
        config.train.steps = 1000
        config.train.learning_rate = 6e-4
        config.train.auxiliary = 0.5
    else:
        config.data.frames = 4
        config.data.short_edge = 240
        config.data.scale = (0.7, 1.5)
        config.data.max_gap.davis = 6
        config.data.max_gap.videos = 4
    if stage == "moving":
        config.data.datasets = _mixture(davis=100, videos=60)
        config.train.steps = 2_200
        config.train.learning_rate = 4e-4
    elif stage == "longer":
        config.data.datasets = _mixture(davis=200, videos=60)
        config.data.moving.speed = (0.0, 0.12)
        config.train.steps = 1_900
        config.train.learning_rate = 3e-4
        config.train.auxiliary = 0.3
        config.train.hard_mining = 0.1
        config.train.predicted_masks = 0.25
    elif stage is None:
        config.data.datasets = _mixture(davis=600, videos=110)
        config.data.augmentation = "v1"
        config.train.steps = 450
        config.train.learning_rate = 1.5e-4
        config.train.auxiliary = 0.01
        config.train.hard_mining = 0.01
        config.train.predicted_masks = 0.0
    return config


def _mixture(davis: int, videos: int):
    """Return `data.datasets` with moving clips of every image, and this many clips of each real video."""
    return ("static", 1, "static_240"), ("davis16", davis, "davis_train_288"), ("videos", videos, "videos_240")
