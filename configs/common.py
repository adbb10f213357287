"""Every field of a config, once, with its unit and its source. A variant in this folder overrides a few of them.

Sources: "paper" is Yang et al., "Associating Objects with Scalable Transformers for Video Object Segmentation";
"release" is the authors' PyTorch code.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = placeholder(str)  # set by every variant: the name of its file
    config.seed = 0  # of the initial weights, the sampling of clips and all random bits of training
    config.model = _model()
    config.memory = _memory()
    config.inference = _inference()
    config.data = _data()
    config.train = _train()
    return config


def _model() -> ConfigDict:
    model = ConfigDict()
    model.encoder = "mobilenet_v2"  # mobilenet_v2, resnet50 or swin_b (paper, section 5)
    model.block = "v1"  # LSTT block: v1 (section 4.2) or v2 (section 4.3)
    model.depth = 3  # L, number of LSTT layers; a scalable model also runs at 1 .. L (Table 2d)
    model.scalable = False  # S-LSTT: one decoder input layer a depth, every depth trained (section 4.3)
    model.share_blocks = False  # one LSTT block used at each layer (Table 2g); needs scalable
    model.channels = 256  # C, of the LSTT
    model.heads = 8  # of every attention
    model.identities = 10  # M, identities in the bank and objects of one group (Table 2a)
    model.patch_wise_bank = True  # sub-identities for each pixel of a 16x16 patch; else one for each patch (Table 2h)
    model.window = 15  # lambda, side of the short-term attention's neighbourhood, odd, in 16x cells (Table 2b)
    model.short_term_frames = 1  # n, frames t-1 .. t-n in the short-term memory; 0: no such attention (Table 2c)
    model.sine_position = True  # sine position embedding in self-attention (Table 2e)
    model.relative_position = True  # relative position embedding in short-term attention (Table 2e)
    model.align_corners = True  # grid convention of input sizes and resizes; false for Swin (release)
    model.drop_path = 0.1  # rate in the LSTT while training (release)
    model.encoder_drop_path = 0.3  # largest rate in Swin while training (release)
    model.local_attention = "tiles"  # tiles (fast, exact) or patches (the literal form)
    return model


def _memory() -> ConfigDict:
    memory = ConfigDict()
    memory.gap = 0  # delta: a frame is added to long-term memory every gap frames; 0: reference only (section 5)
    memory.train_gap = 0  # the same while training
    memory.max_frames = 0  # long-term frames at most, references included; 0: no limit
    return memory


def _inference() -> ConfigDict:
    inference = ConfigDict()
    inference.max_long_edge = 1040  # pixels, 1.3 * 800 (release); 0: no limit
    inference.max_short_edge = 624  # pixels, before scaling, when several scales are used (release)
    inference.dtype = "float32"  # of the network's arithmetic: float32 or bfloat16
    return inference


def _data() -> ConfigDict:
    data = ConfigDict()
    return data


def _train() -> ConfigDict:
    train = ConfigDict()
    return train
