"""Quick start: a small AOST that learns to track procedural videos in a few minutes on two CPU cores, without data.

python train.py --config configs/quickstart.py
"""

from aot_jax.configs import aost


def get_config():
    config = aost.get_config()
    config.name = "quickstart"
    config.model.encoder = "small"
    config.model.align_corners = False
    config.model.channels = 96
    config.model.heads = 3
    config.model.identities = 5
    config.model.window = 7
    config.model.drop_path = 0.0
    config.model.bank_gain = 1.0
    config.model.locality = 1.0
    config.memory.train_gap = 2
    config.inference.max_long_edge = 0

    config.data.datasets = (("generated", 1),)
    config.data.frames = 3
    config.data.crop = 128
    config.data.short_edge = 160
    config.data.scale = (0.8, 1.2)
    config.data.max_gap.generated = 4
    config.data.merge_probability = 0.0
    config.data.max_objects = 5
    config.data.generated.videos = 120
    config.data.generated.objects = (1, 5)

    config.train.steps = 1000
    config.train.batch_size = 3
    config.train.learning_rate = 1e-3
    config.train.min_learning_rate = 1e-4
    config.train.encoder_rate = 1.0
    config.train.bank_rate = 0.002
    config.train.auxiliary = 0.5
    config.train.predicted_masks = 0.7
    config.train.hard_pixels = 0.3
    config.train.log_every = 10
    config.train.picture_every = 100
    config.train.checkpoint_every = 100
    config.train.keep_every = 0
    config.train.final_scores = True
    return config
