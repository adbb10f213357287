"""Every field of a config, with its unit and source. The variants in this folder override a few of them.

Sources: "paper" is Yang et al., "Associating Objects with Scalable Transformers for Video Object Segmentation";
"release" is the authors' PyTorch code.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.name = placeholder(str)  # name of the variant's file; every variant sets it
    config.init_from = placeholder(str)  # run folder or checkpoint whose averaged weights training starts from
    config.encoder_weights = placeholder(str)  # .npz or .pth file of ImageNet weights for the encoder
    config.seed = 0  # random seed of the initial weights, the sampling of clips and training
    config.model = _model()
    config.memory = _memory()
    config.inference = _inference()
    config.data = _data()
    config.train = _train()
    return config


def _model() -> ConfigDict:
    model = ConfigDict()
    model.encoder = "mobilenet_v2"  # mobilenet_v2, resnet50, swin_b (paper, section 5), or small (quick start)
    model.block = "v1"  # LSTT block: v1 (section 4.2), v2 (section 4.3) or gpm, DeAOT's (DeAOT paper, section 3)
    model.depth = 3  # L, number of LSTT layers; a scalable model also runs at 1 .. L (Table 2d)
    model.scalable = False  # S-LSTT: one decoder input layer for each depth, every depth trained (section 4.3)
    model.share_blocks = False  # one LSTT block used at each layer (Table 2g); needs scalable
    model.channels = 256  # C, channels of the LSTT
    model.heads = 8  # heads of every attention; 1 with block gpm
    model.identities = 10  # M, identities in the bank and objects of one group (Table 2a)
    model.patch_wise_bank = True  # a sub-identity for each pixel of a 16x16 patch; else one for all (Table 2h)
    # Gain of the bank's initial values; empty: 1 / pixels of a patch (release), with which a network is slow to
    # learn to distinguish identities. For runs of a few thousand updates use 1.
    model.bank_gain = placeholder(float)
    # Gain of the initial kernels of the decoder's shortcuts from the encoder. At 1 (release) they dominate the
    # identities from the LSTT, and training starts with a plateau of empty masks; for short runs use 0.03.
    model.shortcut_gain = 1.0
    model.window = 15  # lambda, side of the short-term attention's neighbourhood, odd, in 16x cells (Table 2b)
    model.short_term_frames = 1  # n, frames t-1 .. t-n in the short-term memory; 0: no short-term attention (Table 2c)
    model.sine_position = True  # sine position embedding in self-attention (Table 2e)
    model.relative_position = True  # relative position embedding in short-term attention (Table 2e)
    # Decrease of short-term attention's initial bias with the squared distance in cells; empty: none (release). At 1 it
    # starts by copying from the same position, so that training need not learn this first.
    model.locality = placeholder(float)
    model.align_corners = True  # grid convention of input sizes and resizes; false for Swin (release)
    model.drop_path = 0.1  # drop-path rate in the LSTT in training (release)
    model.channel_drop = 0.1  # dropout rate of whole channels after block gpm's depthwise convolutions (release)
    model.encoder_drop_path = 0.3  # drop-path rate of the full Swin-B's last block in training (release)
    model.local_attention = "tiles"  # form of short-term attention: tiles (fast) or patches (slow), with equal results
    return model


def _memory() -> ConfigDict:
    memory = ConfigDict()
    memory.gap = 0  # delta, frames between additions to long-term memory; 0: reference only (section 5)
    memory.train_gap = 0  # delta in training
    memory.max_frames = 0  # most frames in long-term memory, references included; 0: no limit
    return memory


def _inference() -> ConfigDict:
    inference = ConfigDict()
    inference.max_long_edge = 1040  # pixels, 1.3 * 800 (release); 0: no limit
    inference.max_short_edge = 624  # pixels before scaling, in multi-scale inference (release)
    inference.dtype = "float32"  # dtype of the network's arithmetic: float32 or bfloat16
    return inference


def _data() -> ConfigDict:
    data = ConfigDict()
    data.root = ""  # folder of the raw data; empty: $VOS_DATA, else ./data
    data.prepared = ""  # folder of the prepared sets; empty: ~/.cache/aot-jax/prepared
    # Mixture of (name, repeat) or (name, repeat, own root, relative to data.root unless absolute); an epoch visits each
    # video `repeat` times. Names: davis16, davis17, youtube_vos18, youtube_vos19, static, videos (a user's own),
    # generated; "davis17:val" names a split. In the video stage the images of static become moving clips
    # (`data.moving`).
    data.datasets = (("davis17", 5), ("youtube_vos19", 1))  # (release)
    data.stage = "video"  # video: video clips; static: several views of one image (paper, section 5.1)
    data.frames = 5  # frames of a clip, reference included (paper, section 5.1)
    data.crop = 465  # pixels, side of the square output (paper, section 5.1); 464 for Swin (release)
    data.short_edge = 480  # pixels, short edge of a video frame before random scaling (paper, section 5.1)
    data.scale = (0.7, 1.3)  # range of random scaling in the video stage (release)
    data.crop_tries = 5  # windows tried to find one with an object in the reference (release)
    data.flip = 0.5  # probability that a whole clip is mirrored (release)
    data.fill = (124, 116, 104)  # RGB outside the image, 0 .. 255: the mean colour (release)
    # Largest step between sampled frames, in annotated frames, for each kind of dataset (release).
    data.max_gap = ConfigDict({"davis": 12, "youtube_vos": 3, "videos": 12, "generated": 3, "static": 1})
    data.min_reference_pixels = 200  # foreground pixels, before scaling, that a reference frame should exceed (release)
    data.reference_tries = 20  # frames tried to find such a reference (release)
    data.consistency_tries = 5  # clips tried until every later object is in the reference (release)
    data.min_object_pixels = 100  # objects with at most this many pixels in the final reference are dropped (release)
    data.max_objects = 10  # most objects of a sample (paper, section 5.1)
    data.merge_probability = 0.3  # probability of dynamic merge; 1.0 in the static stage (paper, section 5.1)
    # Colour augmentation. v1: jitter of each view in the static stage (`data.static`), none for video clips (paper,
    # release). v2 (the release's later recipe): jitter, greyscale and blur (`data.v2`), drawn for each view in the
    # static stage and once for all frames of a video clip.
    data.augmentation = "v1"
    v2 = ConfigDict()
    v2.jitter = 0.8  # probability of the next four changes
    v2.brightness = 0.4  # factor within 1 -+ this
    v2.contrast = 0.4  # factor, likewise
    v2.saturation = 0.2  # factor, likewise
    v2.hue = 0.1  # rotation within -+ this share of the colour circle
    v2.grey = 0.2  # probability of greyscale
    v2.blur = 0.3  # probability of a Gaussian blur
    v2.sigma = (0.1, 2.0)  # pixels, sigma of the blur
    data.v2 = v2
    # Views of one image in the static stage (release).
    static = ConfigDict()
    static.area = (0.8, 1.0)  # area of the resized crop, as a share of the image's
    static.ratio = (3 / 4, 4 / 3)  # width / height of the resized crop
    static.brightness = 0.1  # factor within 1 -+ this
    static.contrast = 0.1  # factor, likewise
    static.saturation = 0.1  # factor, likewise
    static.hue = 0.03  # rotation within -+ this share of the colour circle
    static.flip = 0.3  # probability that a frame after the first is mirrored
    static.degrees = 20.0  # rotation of a frame after the first, in degrees within -+ this
    static.shift = 0.1  # shift of a frame after the first, within -+ this share of the image's sides
    static.zoom = (0.9, 1.1)  # scale of a frame after the first
    static.shear = 10.0  # shear in x of a frame after the first, in degrees within -+ this
    data.static = static
    data.moving = _moving()
    # Procedural videos, for runs without data: see `aot_jax.io.generated.Recipe`.
    data.generated = ConfigDict()
    data.generated.seed = 0  # random seed of shapes, textures and paths
    data.generated.videos = 60
    data.generated.frames = 20  # frames of a video
    data.generated.height = 160  # pixels
    data.generated.width = 208  # pixels
    data.generated.objects = (1, 6)  # fewest and most objects of a video
    data.generated.lookalikes = 0.25  # share of videos in which two objects look the same
    data.on_bad_file = "stop"  # "stop" at a file or record that cannot be read, or "skip" it
    data.workers = 0  # threads that make clips; 0: one for each core this process may use
    data.prefetch = 2  # batches made ahead of training
    return data


def _moving() -> ConfigDict:
    """Return the ranges of video clips made from still images: "static" in `data.datasets` of the video stage.

    An image is the background, seen through a moving window; objects cut from other images move over it.
    """
    moving = ConfigDict()
    moving.objects = (1, 4)  # fewest and most objects pasted, not counting look-alikes
    moving.min_pixels = 400  # objects with at most this many pixels in their image are not cut out
    moving.lookalikes = 0.25  # probability that an object is pasted a second time, as another object
    moving.lookalike_colour = 0.06  # factor of a look-alike's red, green, blue and brightness, within 1 -+ this
    moving.lookalike_size = 0.15  # factor of a look-alike's size, within 1 -+ this
    moving.size = (0.12, 0.45)  # square root of an object's area, as a share of the crop's side
    moving.enlarge = 1.5  # largest enlargement of an object, relative to the background's
    moving.outside = 0.05  # largest distance of an object's first centre outside the crop, as a share of its side
    moving.speed = (0.0, 0.09)  # speed of an object, as a share of the crop's side a frame
    moving.bend = 0.25  # largest acceleration, as a share of the speed a frame
    moving.meet = 0.5  # probability that an object heads for where another one will be in the middle of the clip
    moving.growth = 0.04  # change of an object's size a frame, within -+ this share
    moving.turn = 20.0  # rotation of an object in the first frame, in degrees within -+ this
    moving.spin = 5.0  # rotation of an object a frame, in degrees within -+ this
    moving.shear = 0.15  # largest amplitude of an object's oscillating shear (tangent of the angle)
    moving.swing = (0.2, 1.0)  # angular frequency of the shear, in radians a frame
    moving.window = (0.55, 0.9)  # side of the window, as a share of the background's short edge
    moving.pan = 0.04  # largest speed of the background, as a share of the crop's side a frame
    moving.camera_growth = 0.02  # change of the background's size a frame, within -+ this share
    moving.camera_turn = 5.0  # rotation of the background in the first frame, in degrees within -+ this
    moving.camera_spin = 1.0  # rotation of the background a frame, in degrees within -+ this
    moving.blur = 0.3  # probability of motion blur
    moving.shutter = (0.2, 0.7)  # share of a frame's time that the shutter is open, with motion blur
    return moving


def _train() -> ConfigDict:
    train = ConfigDict()
    # Schedule (paper, section 5; release)
    train.steps = 100_000  # updates; 50,000 for DAVIS alone
    train.batch_size = 16  # clips an update, over all devices
    train.learning_rate = 2e-4  # learning rate at the end of warm-up
    train.min_learning_rate = 2e-5  # learning rate at the start of warm-up and at the end
    train.encoder_rate = 0.1  # factor of the encoder's learning rate above the minimum
    # Factor of the identity bank's learning rate. All pixels of a patch push its embedding the same way, so that an
    # update moves it 289 times as far as one weight: short runs learn faster with a smaller factor (release: 1).
    train.bank_rate = 1.0
    # Factor of the learning rate of the layers that read the encoder's features. Those of ImageNet encoders are large
    # and have many channels: an update moves these layers' outputs ten times as far as others'; short runs learn faster
    # with a smaller factor (release: 1).
    train.reader_rate = 1.0
    train.warmup = 0.05  # share of the steps with linear warm-up
    train.power = 0.9  # exponent of the polynomial decay that follows
    train.weight_decay = 0.07
    train.clip_norm = 5.0  # largest norm of the global gradient
    train.ema_span = 0.1  # share of the steps that the moving average of parameters covers
    # Loss (paper, sections 4.3 and 5; release)
    train.auxiliary = 1.0  # share of the steps over which the reference frame's loss fades out
    train.hard_pixels = 0.15  # share of the pixels that cross-entropy keeps, once hard-pixel mining has faded in
    train.hard_mining = 0.5  # share of the steps over which hard-pixel mining fades in
    train.depth_weight = 2.0  # alpha, weight of each further depth of a scalable network (Eq. 4)
    train.predicted_masks = 0.5  # share of the steps after which memory holds predicted masks and the bank is frozen
    # Arithmetic
    train.dtype = "auto"  # float32, bfloat16, or auto: bfloat16 on accelerators
    train.accumulate = 1  # parts that each device's batch is split into, to save memory
    train.rematerialise = False  # recompute each frame in the backward pass, to save memory
    train.max_bad_steps = 20  # updates skipped in a row, as loss or gradient is not finite, before the run stops
    train.train_all = False  # train the encoder's first two stages too; for an encoder without ImageNet weights
    # Output, in OUTPUT/NAME
    train.output = "runs"  # folder of all runs
    train.log_every = 20  # steps between lines of the log
    train.picture_every = 1000  # steps between pictures of predicted and true masks; 0: none
    train.checkpoint_every = 1000  # steps between checkpoints
    train.keep_checkpoints = 3  # newest checkpoints that are kept
    train.keep_every = 20_000  # steps between checkpoints that are never deleted; 0: none
    train.evaluate_every = 0  # steps between evaluations of the averaged weights, last step included; 0: none
    # Splits of eval.py, each a name or (name, folder), relative to data.root unless absolute; without a folder:
    # $VOS_DATA, else ./data. The best weights are those with the highest mean J&F.
    train.evaluate_on = ("generated",)
    # At the end, score the weights on the first of these splits at every depth, beside a copied first mask, and draw a
    # video.
    train.final_scores = False
    return train


def with_encoder(config: ConfigDict, encoder: str, name: str) -> ConfigDict:
    """Give a variant a larger encoder, resnet50 or swin_b, with its settings (release), and a new name."""
    config.name = name
    config.model.encoder = encoder
    config.train.min_learning_rate = 1e-5
    if encoder == "swin_b":
        config.model.align_corners = False
        config.data.crop = 464
    return config


def at_stage(config: ConfigDict, stage: str | None) -> ConfigDict:
    """Return a variant's recipe for a stage of training; None: the last one.

    Stage `pretrain` is the first: clips made of static images (paper, section 5; release). The last stage then starts
    from its weights: --config.init_from=runs/pretrain_NAME.
    """
    if stage is None:
        return config
    if stage != "pretrain":
        raise ValueError(f"there is no stage {stage!r}; it is pretrain, or none for the last one")
    config.name = f"pretrain_{config.name}"
    config.data.stage = "static"
    config.data.datasets = (("static", 1),)
    config.data.merge_probability = 1.0
    config.train.learning_rate = 4e-4
    config.train.min_learning_rate = 2e-5
    config.train.weight_decay = 0.03
    config.train.auxiliary = 0.1
    config.train.predicted_masks = 1.0  # memory always holds true masks
    return config
