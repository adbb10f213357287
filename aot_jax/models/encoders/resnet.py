"""ResNet-50 without its last stage, torchvision's v1.5 (stride on the 3x3)."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype

from aot_jax.models.layers import Conv, FrozenBatchNorm, Linear
from aot_jax.typing import Array

STAGES = ((3, 64, 1), (4, 128, 2), (6, 256, 2))  # blocks, width, stride of the first block


class Bottleneck(nn.Module):
    """Reduce, convolve 3x3, expand to four times the width; add the input, projected where the shapes differ."""

    width: int
    stride: int = 1
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        features = 4 * self.width
        y = Linear(self.width, use_bias=False, encoder=True, dtype=self.dtype, name="conv1")(x)
        y = jax.nn.relu(FrozenBatchNorm(dtype=self.dtype, name="bn1")(y))
        y = Conv(self.width, 3, stride=self.stride, encoder=True, dtype=self.dtype, name="conv2")(y)
        y = jax.nn.relu(FrozenBatchNorm(dtype=self.dtype, name="bn2")(y))
        y = Linear(features, use_bias=False, encoder=True, dtype=self.dtype, name="conv3")(y)
        y = FrozenBatchNorm(dtype=self.dtype, name="bn3")(y)
        if self.stride != 1 or x.shape[-1] != features:
            x = x[:, :: self.stride, :: self.stride]
            x = Linear(features, use_bias=False, encoder=True, dtype=self.dtype, name="downsample")(x)
            x = FrozenBatchNorm(dtype=self.dtype, name="downsample_bn")(x)
        return jax.nn.relu(x + y)


class ResNet50(nn.Module):
    """Encode images (b, h, w, 3) into maps of 256 (4x), 512 (8x), 1024 (16x) channels, the last one twice."""

    dtype: Dtype = jnp.float32
    drop_path: float = 0.0  # unused: only Swin drops paths

    @nn.compact
    def __call__(self, images: Array, keys: Array | None = None) -> list[Array]:
        del keys
        x = Conv(64, 7, stride=2, encoder=True, dtype=self.dtype, name="conv1")(images)
        x = jax.nn.relu(FrozenBatchNorm(dtype=self.dtype, name="bn1")(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
        outputs = []
        for s, (blocks, width, stride) in enumerate(STAGES, start=1):
            for i in range(blocks):
                x = Bottleneck(width, stride if i == 0 else 1, dtype=self.dtype, name=f"layer{s}_{i}")(x)
            outputs.append(x)
        return [*outputs, x]
