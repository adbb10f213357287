"""Read weights that PyTorch wrote: the authors' checkpoints, torchvision's and Swin's encoders.

python -m aot_jax.convert R50_AOST.pth --config configs/aost_r50.py --output checkpoints/aost_r50
python -m aot_jax.convert mobilenet_v2.pth --part encoder --config configs/aost.py --output checkpoints/imagenet
"""

import re
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from aot_jax.convert.names import OPTIONAL_IN_ENCODER, UNUSED, release_tensors
from aot_jax.errors import ReportedError
from aot_jax.io.npz import read_npz
from aot_jax.network import init_params, make_model
from aot_jax.typing import Params

__all__ = ["ConvertError", "from_torch", "load_weights", "read_arrays", "release_tensors"]


class ConvertError(ReportedError):
    """A file of weights that cannot be read, or that does not fit the network."""


def from_torch(
    arrays: Mapping[str, np.ndarray], config: ConfigDict, *, encoder_only: bool = False, seed: int = 0
) -> Params:
    """Turn a state dict into parameters.

    Args:
        arrays: tensors by name, as in the release (`encoder.`, `LSTT.`, `decoder.` ...), with or without `module.`.
            With `encoder_only` also torchvision's mobilenet_v2 and resnet50 and Swin's names, without `encoder.`.
        config: of the network.
        encoder_only: convert the encoder only; initialise the rest from `seed`.
        seed: of the random parameters.

    Returns:
        Nested dicts of float32 arrays, as Flax's "params" collection.

    Raises:
        ConvertError: naming every tensor that is missing, unused or of another shape.
    """
    arrays = {name.removeprefix("module."): value for name, value in arrays.items()}
    wanted = release_tensors(config)
    if encoder_only:
        if not any(name.startswith("encoder.") for name in arrays):
            arrays = {f"encoder.{name}": value for name, value in arrays.items()}
        wanted = {name: tensor for name, tensor in wanted.items() if name.startswith("encoder.")}
        arrays = {name: value for name, value in arrays.items() if name.startswith("encoder.")}
    missing = [name for name in wanted if name not in arrays]
    if encoder_only:
        missing = [name for name in missing if not OPTIONAL_IN_ENCODER.match(name)]
    unused = [name for name in arrays if name not in wanted and not UNUSED.search(name)]
    misshaped = [
        f"{name}: {tuple(arrays[name].shape)} instead of {tensor.shape}"
        for name, tensor in wanted.items()
        if name in arrays and tuple(arrays[name].shape) != tensor.shape
    ]
    if missing or unused or misshaped:
        report = _report(config, missing, unused, misshaped)
        if not encoder_only and not any(name.startswith("LSTT.") for name in arrays):
            report += "\n  weights of an encoder alone are taken with --part encoder (encoder_only=True)"
        else:
            report += "\n  give the config of the network that they belong to, with --config"
        raise ConvertError(report)
    flat = {}
    if encoder_only:
        flat = flatten_dict(init_params(make_model(config), seed))
    for name, tensor in wanted.items():
        if name in arrays:
            flat[tensor.path] = jax.device_put(tensor.layout.to_flax(np.asarray(arrays[name], np.float32)))
    return unflatten_dict(flat)


def _report(config: ConfigDict, missing: list[str], unused: list[str], misshaped: list[str]) -> str:
    lines = [f"these weights do not fit {config.name}:"]
    for title, names in (("missing", missing), ("unused", unused), ("of another shape", misshaped)):
        if names:
            lines.append(f"  {len(names)} {title}:")
            lines += [f"    {name}" for name in names]
    return "\n".join(lines)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dict from a .npz, or from a .pth or .pt, plain or under `state_dict` or `model`.

    Only tensors are unpickled.

    Raises:
        ConvertError: if the file cannot be read, or if it needs torch and torch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ConvertError(f"no file at {path}; check the path")
    if path.suffix == ".npz":
        try:
            return read_npz(path)
        except Exception as error:
            raise ConvertError(
                f"{path} is not a readable .npz file: {error}; write it again, or take the .pth file"
            ) from error
    try:
        import torch
    except ImportError:
        raise ConvertError(
            f"reading {path} needs PyTorch, which is not installed: pip install -r requirements-torch.txt "
            "(or save the tensors as .npz under the same names)"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's own message tells how to load the file unsafely
        other = re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", str(error))
        if other:
            raise ConvertError(
                f"{path} holds more than tensors ({other[1]}), which is not unpickled, as that can run code; save the "
                "tensors alone, torch.save(model.state_dict(), FILE)"
            ) from error
        raise ConvertError(
            f"{path} is not a file of PyTorch weights, or is truncated; check the path or download it again"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    tensors = state if isinstance(state, dict) else {}
    arrays = {name: value.float().numpy() for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    if not arrays:
        raise ConvertError(f"{path} holds no tensors by name; save a state dict, torch.save(model.state_dict(), FILE)")
    return arrays


def load_weights(path: str | Path, config: ConfigDict, *, encoder_only: bool = False, seed: int = 0) -> Params:
    """Read a file of PyTorch weights into parameters; see `read_arrays` and `from_torch`."""
    try:
        return from_torch(read_arrays(path), config, encoder_only=encoder_only, seed=seed)
    except ConvertError as error:
        if str(path) in str(error):
            raise
        raise ConvertError(f"{path}: {error}") from None
