"""MobileNetV2 (Sandler et al., 2018) with output stride 16, in torchvision's layout."""

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import Conv, DepthwiseConv, FrozenBatchNorm, Linear
from aot_jax.typing import Array

# Each block: expansion, channels, stride, dilation. The 160-channel stage keeps stride 16 by dilation.
BLOCKS = (
    [(1, 16, 1, 1)]
    + [(6, 24, 2, 1), (6, 24, 1, 1)]
    + [(6, 32, 2, 1)] + [(6, 32, 1, 1)] * 2
    + [(6, 64, 2, 1)] + [(6, 64, 1, 1)] * 3
    + [(6, 96, 1, 1)] * 3
    + [(6, 160, 1, 1)] + [(6, 160, 1, 2)] * 2
    + [(6, 320, 1, 2)]
)  # fmt: skip
OUTPUTS = (3, 6, 13, 18)  # index of the last feature module of each output


def relu6(x: Array) -> Array:
    """Clip to [0, 6]."""
    return jnp.clip(x, 0, 6)


class InvertedResidual(nn.Module):
    """Expand, convolve depthwise, project; add the input where the shapes agree."""

    expansion: int
    features: int
    stride: int
    dilation: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        hidden = x.shape[-1] * self.expansion
        y = x
        if self.expansion != 1:
            y = Linear(hidden, use_bias=False, encoder=True, dtype=self.dtype, name="expand")(y)
            y = relu6(FrozenBatchNorm(dtype=self.dtype, name="expand_bn")(y))
        y = DepthwiseConv(3, self.stride, self.dilation, encoder=True, dtype=self.dtype, name="depthwise")(y)
        y = relu6(FrozenBatchNorm(dtype=self.dtype, name="depthwise_bn")(y))
        y = Linear(self.features, use_bias=False, encoder=True, dtype=self.dtype, name="project")(y)
        y = FrozenBatchNorm(dtype=self.dtype, name="project_bn")(y)
        return x + y if self.stride == 1 and x.shape[-1] == self.features else y


class MobileNetV2(nn.Module):
    """Encode images (b, h, w, 3) into maps of 24 (4x), 32 (8x), 96 (16x) and 1280 (16x) channels."""

    dtype: Dtype = jnp.float32
    drop_path: float = 0.0  # unused: only Swin drops paths

    @nn.compact
    def __call__(self, images: Array, keys: Array | None = None) -> list[Array]:
        del keys
        x = Conv(32, 3, stride=2, encoder=True, dtype=self.dtype, name="features_0")(images)
        x = relu6(FrozenBatchNorm(dtype=self.dtype, name="features_0_bn")(x))
        outputs = []
        for i, block in enumerate(BLOCKS, start=1):
            x = InvertedResidual(*block, dtype=self.dtype, name=f"features_{i}")(x)
            if i in OUTPUTS:
                outputs.append(x)
        x = Linear(1280, use_bias=False, encoder=True, dtype=self.dtype, name="features_18")(x)
        x = relu6(FrozenBatchNorm(dtype=self.dtype, name="features_18_bn")(x))
        return [*outputs, x]
