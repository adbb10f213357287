"""Parity cases: results of the authors' PyTorch release, with the weights and clips that they were computed from.

A case NAME is NAME.json (settings) and NAME.npz (results). `OWN` is the set in tests/reference; `FOLDERS`, named in
AOT_PARITY_DIR and separated by `:`, hold larger ones, each with real videos in its sibling folder `data`.
"""

import functools
import json
import os
import zlib
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from aot_jax import propagate
from aot_jax.config import load_config
from aot_jax.convert import from_torch, release_tensors
from aot_jax.models.gated_propagation import GatedPropagationModule
from aot_jax.network import Model, make_model

OWN = Path(__file__).resolve().parent / "reference"
SHARED = Path(__file__).resolve().parents[2] / "shared"
GIVEN = os.environ.get("AOT_PARITY_DIR") or f"{SHARED / 'parity'}:{SHARED / 'parity_deaot'}"
FOLDERS = [Path(folder) for folder in GIVEN.split(":") if folder]
CONFIGS = {
    "r50_aotl": "aotl_r50",
    "swinb_aotl": "aotl_swinb",
    "r50_aotv2l": "aotv2l_r50",
    "swinb_aotv2l": "aotv2l_swinb",
    "r50_aost": "aost_r50",
    "swinb_aost": "aost_swinb",
    "aost_share": "aost_shared",
    "r50_deaotl": "deaotl_r50",
    "swinb_deaotl": "deaotl_swinb",
}
CAPACITY = 8  # long-term slots, more than any case fills, since empty slots must not change results


KINDS = ("inference", "track", "train")


def cases(kind: str) -> list[Path]:
    """List the JSON files of one kind in all folders: track, train, or inference for the rest."""
    found: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for path in sorted(path for folder in FOLDERS for path in folder.glob("*.json")):
        first = path.stem.split("_")[0]
        if first not in ("metrics", "recipe"):
            found[first if first in found else "inference"].append(path)
    return found[kind]


def recipes() -> list[tuple[Path, str]]:
    """List (JSON file, network by the release's name) for which decayed and frozen tensors are known."""
    files = sorted(path for folder in FOLDERS for path in folder.glob("recipe*.json"))
    prefix = "weight_decay_"
    return [
        (path, key.removeprefix(prefix))
        for path in files
        for key in json.loads(path.read_text())
        if key.startswith(prefix)
    ]


def load_config_of(name: str) -> ConfigDict:
    """Load the config of a network by the release's name."""
    return load_config(CONFIGS.get(name, name))


def load(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Read the settings and the results of a case."""
    arrays = path.with_suffix(".npz")
    return json.loads(path.read_text()), dict(np.load(arrays)) if arrays.is_file() else {}


def load_model(case: dict, dtype: str | None = None) -> Model:
    """Build a case's network with its weights; unknown names are errors."""
    config = load_config_of(case["model"])
    return Model(make_model(config, dtype), from_torch(state_dict(config), config), config)


def state_dict(config: ConfigDict) -> dict[str, np.ndarray]:
    """Draw every tensor of a config's network, by the release's names."""
    return {name: weight(name, tensor.shape) for name, tensor in release_tensors(config).items()}


@functools.cache
def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw the float32 tensor `name`; its name is the seed."""
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(normal)
    if leaf != "weight":
        return 0.1 * normal
    if len(shape) == 1:
        return 1 + 0.1 * normal
    gain = 2.0 if "encoder." in name else 1.0
    return normal * np.float32(np.sqrt(gain / np.prod(shape[1:])))


def clip(seed: int, frames: int, height: int, width: int, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of noise (t, h, w, 3) float32, as if normalised, and masks (t, h, w) of moving discs 1 .. objects."""
    random = np.random.default_rng(seed)
    images = random.standard_normal((frames, 3, height, width)).astype(np.float32)
    centre = random.uniform(0.2, 0.8, (objects, 2))
    velocity = random.uniform(-0.03, 0.03, (objects, 2))
    radius = random.uniform(0.08, 0.2, objects)
    y, x = np.mgrid[:height, :width]
    masks = np.zeros((frames, height, width), np.int32)
    for t, o in np.ndindex(frames, objects):
        cy, cx = (centre[o] + velocity[o] * t) * [height, width]
        masks[t][(y - cy) ** 2 + (x - cx) ** 2 < (radius[o] * min(height, width)) ** 2] = o + 1
    return images.transpose(0, 2, 3, 1), masks


@functools.partial(jax.jit, static_argnames="model")
def encode(model, params, image):
    return propagate.encode(model, params, image)


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def begin(model, params, features, mask, depth):
    logits, frame_kv = propagate.step(model, params, None, features, mask=mask, depth=depth)
    return logits, propagate.begin(model, params, frame_kv, mask, CAPACITY)


@functools.partial(jax.jit, static_argnames=("model", "depth"))
def advance(model, params, memory, features, mask, t, keep, depth):
    """Run a frame; returns its logits, the memory, and what each layer makes of the frame."""
    outputs, gated = [], []  # what `AOT.propagate` returns; what gated layers do, of which only the last has a norm

    def listen(next_call, args, kwargs, context):
        output = next_call(*args, **kwargs)
        if context.method_name == "propagate":
            outputs.extend(output[0])
        elif isinstance(context.module, GatedPropagationModule) and context.method_name == "__call__":
            gated.append(output[0])
        return output

    with nn.intercept_methods(listen):
        logits, frame_kv = propagate.step(model, params, memory, features, depth=depth)
    memory = propagate.memorize(model, params, memory, frame_kv, mask, t, keep=keep)
    return logits, memory, [*gated[:-1], *outputs]


def compare(path: Path, dtype: str | None = None) -> dict[str, float]:
    """Run an inference case with true masks in memory; returns the largest difference of each part of its results.

    The parts are the embedding of frame 0, each layer's output in frame 1, relative to the part's largest value if that
    is above 1, and the logits of all frames.
    """
    case, results = load(path)
    model = load_model(case, dtype)
    images, masks = clip(case["seed"], case["frames"], case["height"], case["width"], case["objects"])
    network, depth, gap = (model.module, model.params), case.get("depth"), case["long_term_gap"]
    features = encode(*network, images[:1])
    parts = {"frame0_encoder_16x": features.projected[0].transpose(2, 0, 1)}
    logits, memory = begin(*network, features, masks[:1], depth)
    found = [logits]
    for t in range(1, case["frames"]):
        features, keep = encode(*network, images[t : t + 1]), bool(gap) and t % gap == 0
        logits, memory, layers = advance(*network, memory, features, masks[t : t + 1], t, keep, depth)
        found.append(logits)
        if t == 1:
            parts |= {f"frame1_lstt_{i}": x[0].reshape(-1, x.shape[-1]) for i, x in enumerate(layers)}
    scale = {name: max(1, np.abs(results[name]).max()) for name in parts if name in results} | {"logits": 1}
    stride = case.get("logits_stride", 1)
    parts["logits"] = np.concatenate(found).transpose(0, 3, 1, 2)[..., ::stride, ::stride]
    return {name: float(np.abs(parts[name] - results[name]).max() / by) for name, by in scale.items()}
