"""Small networks with random weights that compile fast."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from aot_jax.checkpoint import save_params
from aot_jax.config import load_config
from aot_jax.convert import release_tensors
from aot_jax.models.aot import Features
from aot_jax.models.encoders import ENCODERS
from aot_jax.models.layers import Conv
from aot_jax.network import Model, make_model, param_shapes
from aot_jax.typing import Params


class TinyEncoder(nn.Module):
    """An encoder of four convolutions, with the usual strides and few channels."""

    dtype: jnp.dtype = jnp.float32
    drop_path: float = 0.0

    @nn.compact
    def __call__(self, images, keys=None):
        outputs, x = [], images
        for i, channels in enumerate((8, 16, 16, 32)):
            x = nn.relu(Conv(channels, 3, stride=2, encoder=True, dtype=self.dtype, name=f"conv{i}")(x))
            outputs.append(x)
        return [*outputs[1:], x]


ENCODERS["tiny"] = TinyEncoder
FROZEN = r"^encoder/conv[01]/"  # paths of parameters frozen in training

SIZES = ("model.encoder=tiny", "model.channels=32", "model.heads=2", "model.window=3")
NETWORKS = {"v1": "aotl", "v2": "aost", "gpm": "deaotl"}  # a config of each block


def sizes(name: str) -> list[str]:
    """Return overrides that make a config's network small; DeAOT's always has one head."""
    return [*SIZES, *(["model.heads=1"] if name.startswith("deaot") else [])]


def shapes(model) -> dict[tuple[str, ...], jax.ShapeDtypeStruct]:
    """Return the shapes of a network's `init`, by path."""
    return flatten_dict(param_shapes(model))


def draw(model, seed: int = 0) -> Params:
    """Draw parameters without compiling `init`; biases and norms are random too, so that all have an effect."""
    rng = np.random.default_rng(seed)
    flat = {}
    for path, leaf in shapes(model).items():
        noise = rng.standard_normal(leaf.shape).astype(np.float32)
        if path[-1] in ("scale", "var"):
            noise = 1 + 0.2 * np.abs(noise)
        elif path[-1] in ("bias", "mean", "value_bias"):
            noise = 0.1 * noise
        elif path[0] == "identity_bank":
            noise = noise / 17
        else:
            depthwise = path[-2] == "depthwise"
            noise = noise * math.sqrt(2 / math.prod(leaf.shape[:2] if depthwise else leaf.shape[:-1]))
        flat[path] = noise
    return jax.device_put(unflatten_dict(flat))


def released(name, *overrides, seed=0):
    """Return parameters of a config, and the same arrays under the release's names."""
    config = load_config(name, overrides)
    params = draw(make_model(config), seed)
    flat = flatten_dict(params)
    arrays = {
        name: np.asarray(tensor.layout.to_torch(np.asarray(flat[tensor.path])))
        for name, tensor in release_tensors(config).items()
    }
    return config, params, arrays


@functools.cache
def load(name: str = "aott", *overrides: str, seed: int = 0) -> Model:
    """Build a small network of a config, with random weights."""
    config = load_config(name, [*sizes(name), *overrides])
    module = make_model(config)
    return Model(module, draw(module, seed), config)


def save(path: Path, overrides: Sequence[str]) -> Path:
    """Save random weights of AOST with these overrides as a checkpoint at `path`."""
    config = load_config("aost", overrides)
    save_params(path, draw(make_model(config)), config)
    return path


def of_block(block: str, *overrides: str) -> Model:
    """Build the shallowest network with every parameter of a block; gpm's first layer has no identity branch."""
    return load(NETWORKS[block], f"model.depth={2 if block == 'gpm' else 1}", *overrides)


def normal(*shape: int, seed: int = 0, dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Draw standard normal values."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def value_and_gradients(function, *operands, seed: int = 9) -> tuple[jax.Array, ...]:
    """Return a function's result and its operands' gradients for a random cotangent, computed by one program."""

    def run(*operands):
        out, pull = jax.vjp(function, *operands)
        return out, *pull(normal(*out.shape, seed=seed, dtype=out.dtype))

    return jax.jit(run)(*operands)


def frames(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a video (t, h, w, 3) uint8 of coarse noise that moves to the right."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 8), -(-(width + 4 * count) // 8), 3), np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([wide[:height, 4 * t : 4 * t + width] for t in range(count)])


def mask(height: int, width: int, ids) -> np.ndarray:
    """Draw a mask (h, w) int32: a row of boxes, one for each id, on background."""
    labels = np.zeros((height, width), np.int32)
    edges = np.linspace(0, width, len(ids) + 1).astype(int)
    for i, left, right in zip(ids, edges[:-1], edges[1:], strict=True):
        labels[height // 5 : -(height // 5), left : max(right - 1, left + 1)] = i
    return labels


def features(batch: int, height: int, width: int, seed: int = 0, channels: int = 32) -> Features:
    """Draw features like the tiny encoder's for images of (16 height - 15, 16 width - 15) pixels."""
    rng = np.random.default_rng(seed)

    def draw(stride: int, count: int) -> jax.Array:
        size = ((height - 1) * 16 // stride + 1, (width - 1) * 16 // stride + 1)
        return jnp.asarray(rng.standard_normal((batch, *size, count)), jnp.float32)

    return Features(draw(4, 16), draw(8, 16), draw(16, 32), draw(16, channels))
