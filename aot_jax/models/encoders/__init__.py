"""Image encoders. Each maps images (b, h, w, 3) to four maps: 4x, 8x, 16x and a second 16x, the LSTT's input."""

from aot_jax.models.encoders.mobilenet_v2 import MobileNetV2
from aot_jax.models.encoders.resnet import ResNet50
from aot_jax.models.encoders.small import Small
from aot_jax.models.encoders.swin import SwinB

ENCODERS = {"mobilenet_v2": MobileNetV2, "resnet50": ResNet50, "swin_b": SwinB, "small": Small}
