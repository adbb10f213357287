"""Read weights that PyTorch wrote: the authors' checkpoints, torchvision's and Swin's encoders.

    python -m aot_jax.convert R50_AOST.pth --config configs/aost_r50.py --output checkpoints/aost_r50
    python -m aot_jax.convert mobilenet_v2.pth --part encoder --config configs/aost.py --output checkpoints/imagenet

One table maps every parameter of a network to its name in the release.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from aot_jax import checkpoint
from aot_jax.config import ConfigError, load_config
from aot_jax.flags import add_config_flags, parse_args
from aot_jax.io.npz import read_npz
from aot_jax.network import default_path, init_params, make_model, param_shapes
from aot_jax.typing import Params


class ConvertError(ValueError):
    """A file of weights that cannot be read, or that does not fit the network."""


class Layout(NamedTuple):
    """How a tensor lies in the release: both directions of one transposition."""

    to_flax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


SAME = Layout(lambda x: x, lambda x: x)
LINEAR = Layout(lambda x: x.T, lambda x: x.T)  # (out, in)
POINTWISE = Layout(lambda x: x[:, :, 0, 0].T, lambda x: x.T[:, :, None, None])  # (out, in, 1, 1)
CONV = Layout(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))  # (out, in, k, k)
DEPTHWISE = Layout(lambda x: x[:, 0].transpose(1, 2, 0), lambda x: x.transpose(2, 0, 1)[:, None])  # (c, 1, k, k)
OFFSETS_LAST = Layout(lambda x: x.transpose(0, 2, 1), lambda x: x.transpose(0, 2, 1))  # (heads, d, offsets)


def grouped(heads: int) -> Layout:
    """Return the layout of a grouped 1x1 convolution with one group a head: (heads offsets, d, 1, 1)."""
    return Layout(
        lambda x: x[:, :, 0, 0].reshape(heads, -1, x.shape[1]),
        lambda x: x.reshape(-1, x.shape[2])[:, :, None, None],
    )


def by_head(heads: int) -> Layout:
    """Return the layout of its bias: (heads offsets,)."""
    return Layout(lambda x: x.reshape(heads, -1), lambda x: x.reshape(-1))


def rules(config: ConfigDict) -> list[tuple[str, str, Layout]]:
    """List (pattern of our path, name in the release, layout). `{leaf}` is the tensor's name in PyTorch's layers."""
    heads = config.model.heads
    conv_in = r"conv_in.\1." if config.model.scalable else "conv_in."
    shared = config.model.share_blocks
    layer = "LSTT.layer." if shared else r"LSTT.layers.\1."
    decoder_norm = "LSTT.decoder_norm." if shared else r"LSTT.decoder_norms.\1."
    gated = "gn." if config.model.block == "gpm" else ""
    lstt = r"lstt/layers_(\d+)/"
    return [
        # MobileNetV2, torchvision's names
        (r"encoder/features_(0)/(\w+)", r"encoder.features.\1.0.{leaf}", CONV),
        (r"encoder/features_(18)/(\w+)", r"encoder.features.\1.0.{leaf}", POINTWISE),
        (r"encoder/features_(0|18)_bn/(\w+)", r"encoder.features.\1.1.{leaf}", SAME),
        (r"encoder/features_(1)/depthwise/kernel", r"encoder.features.\1.conv.0.0.{leaf}", DEPTHWISE),
        (r"encoder/features_(1)/depthwise_bn/(\w+)", r"encoder.features.\1.conv.0.1.{leaf}", SAME),
        (r"encoder/features_(1)/project/kernel", r"encoder.features.\1.conv.1.{leaf}", POINTWISE),
        (r"encoder/features_(1)/project_bn/(\w+)", r"encoder.features.\1.conv.2.{leaf}", SAME),
        (r"encoder/features_(\d+)/expand/kernel", r"encoder.features.\1.conv.0.0.{leaf}", POINTWISE),
        (r"encoder/features_(\d+)/expand_bn/(\w+)", r"encoder.features.\1.conv.0.1.{leaf}", SAME),
        (r"encoder/features_(\d+)/depthwise/kernel", r"encoder.features.\1.conv.1.0.{leaf}", DEPTHWISE),
        (r"encoder/features_(\d+)/depthwise_bn/(\w+)", r"encoder.features.\1.conv.1.1.{leaf}", SAME),
        (r"encoder/features_(\d+)/project/kernel", r"encoder.features.\1.conv.2.{leaf}", POINTWISE),
        (r"encoder/features_(\d+)/project_bn/(\w+)", r"encoder.features.\1.conv.3.{leaf}", SAME),
        # ResNet-50, torchvision's names
        (r"encoder/conv1/kernel", r"encoder.conv1.{leaf}", CONV),
        (r"encoder/bn1/(\w+)", r"encoder.bn1.{leaf}", SAME),
        (r"encoder/layer(\d)_(\d)/conv2/kernel", r"encoder.layer\1.\2.conv2.{leaf}", CONV),
        (r"encoder/layer(\d)_(\d)/conv([13])/kernel", r"encoder.layer\1.\2.conv\3.{leaf}", POINTWISE),
        (r"encoder/layer(\d)_(\d)/bn(\d)/(\w+)", r"encoder.layer\1.\2.bn\3.{leaf}", SAME),
        (r"encoder/layer(\d)_(\d)/downsample/kernel", r"encoder.layer\1.\2.downsample.0.{leaf}", POINTWISE),
        (r"encoder/layer(\d)_(\d)/downsample_bn/(\w+)", r"encoder.layer\1.\2.downsample.1.{leaf}", SAME),
        # Swin-B, the official names
        (r"encoder/patch_embed/(?:kernel|bias)", r"encoder.patch_embed.proj.{leaf}", CONV),
        (r"encoder/patch_embed_norm/(\w+)", r"encoder.patch_embed.norm.{leaf}", SAME),
        (
            r"encoder/layers_(\d)_blocks_(\d+)/attn/relative_position_bias_table",
            r"encoder.layers.\1.blocks.\2.attn.relative_position_bias_table",
            SAME,
        ),
        (r"encoder/layers_(\d)_blocks_(\d+)/attn/(\w+)/\w+", r"encoder.layers.\1.blocks.\2.attn.\3.{leaf}", LINEAR),
        (r"encoder/layers_(\d)_blocks_(\d+)/(fc\d)/\w+", r"encoder.layers.\1.blocks.\2.mlp.\3.{leaf}", LINEAR),
        (r"encoder/layers_(\d)_blocks_(\d+)/(norm\d)/\w+", r"encoder.layers.\1.blocks.\2.\3.{leaf}", SAME),
        (r"encoder/layers_(\d)_downsample/norm/\w+", r"encoder.layers.\1.downsample.norm.{leaf}", SAME),
        (r"encoder/layers_(\d)_downsample/reduction/\w+", r"encoder.layers.\1.downsample.reduction.{leaf}", LINEAR),
        (r"encoder/norm(\d)/\w+", r"encoder.norm\1.{leaf}", SAME),
        # LSTT
        (r"encoder_projector/\w+", r"encoder_projector.{leaf}", POINTWISE),
        (lstt + r"(norm\d)/\w+", layer + r"\2.{leaf}", SAME),
        (lstt + r"self_attention/query/\w+", layer + "self_attn.linear_Q.{leaf}", LINEAR),
        (lstt + r"self_attention/key/\w+", layer + "self_attn.linear_K.{leaf}", LINEAR),
        (lstt + r"self_attention/value/\w+", layer + "self_attn.linear_V.{leaf}", LINEAR),
        (lstt + r"self_attention/projection/\w+", layer + "self_attn.projection.{leaf}", LINEAR),
        (lstt + r"query/\w+", layer + "linear_Q.{leaf}", LINEAR),
        (lstt + r"value/kernel", layer + "linear_V.{leaf}", LINEAR),
        (lstt + r"value_bias", layer + "linear_V.bias", SAME),
        (lstt + r"query_value/\w+", layer + "linear_QV.{leaf}", LINEAR),
        (lstt + r"gate_identity/\w+", layer + "linear_ID_KV.{leaf}", LINEAR),
        (lstt + r"long_attention/projection/\w+", layer + "long_term_attn.projection.{leaf}", LINEAR),
        (lstt + r"short_attention/projection/\w+", layer + "short_term_attn.projection.{leaf}", LINEAR),
        (lstt + r"short_attention/relative_k", layer + "short_term_attn.relative_emb_k.weight", grouped(heads)),
        (lstt + r"short_attention/relative_k_bias", layer + "short_term_attn.relative_emb_k.bias", by_head(heads)),
        (lstt + r"short_attention/relative_v", layer + "short_term_attn.relative_emb_v", OFFSETS_LAST),
        # Gated propagation
        (lstt + r"identity_norm(\d)/\w+", layer + r"id_norm\2.{leaf}", SAME),
        (lstt + r"gate/\w+", layer + "linear_U.{leaf}", LINEAR),
        (lstt + r"identity_value/\w+", layer + "linear_ID_V.{leaf}", LINEAR),
        (lstt + r"identity_gate/\w+", layer + "linear_ID_U.{leaf}", LINEAR),
        (lstt + r"(long|short)_gated/depthwise/\w+", layer + r"\2_term_attn.dw_conv.conv.{leaf}", DEPTHWISE),
        (lstt + r"(long|short)_gated/projection/\w+", layer + r"\2_term_attn.projection.{leaf}", LINEAR),
        (lstt + r"self_attention/gated/depthwise/\w+", layer + "self_attn.dw_conv.conv.{leaf}", DEPTHWISE),
        (lstt + r"self_attention/gated/projection/\w+", layer + "self_attn.projection.{leaf}", LINEAR),
        (lstt + r"self_attention/query_key/\w+", layer + "self_attn.linear_QK.{leaf}", LINEAR),
        (lstt + r"self_attention/value(\d)/\w+", layer + r"self_attn.linear_V\2.{leaf}", LINEAR),
        (lstt + r"self_attention/gate(\d)/\w+", layer + r"self_attn.linear_U\2.{leaf}", LINEAR),
        (lstt + r"feed_forward/expand/\w+", layer + "linear1.{leaf}", LINEAR),
        (lstt + r"feed_forward/norm/\w+", layer + "activation.gn.{leaf}", SAME),
        (lstt + r"feed_forward/depthwise/\w+", layer + "activation.conv.{leaf}", DEPTHWISE),
        (lstt + r"feed_forward/reduce/\w+", layer + "linear2.{leaf}", LINEAR),
        (r"lstt/decoder_norms_(\d+)/\w+", decoder_norm + gated + "{leaf}", SAME),
        # Decoder and identity bank
        (r"decoder/conv_in_(\d)/conv/\w+", "decoder." + conv_in + "conv.{leaf}", POINTWISE),
        (r"decoder/conv_in_(\d)/norm/\w+", "decoder." + conv_in + "gn.{leaf}", SAME),
        (r"decoder/(conv_\d+x)/conv/\w+", r"decoder.\1.conv.{leaf}", CONV),
        (r"decoder/(conv_\d+x)/norm/\w+", r"decoder.\1.gn.{leaf}", SAME),
        (r"decoder/(adapter_\d+x|conv_out)/\w+", r"decoder.\1.{leaf}", POINTWISE),
        (r"identity_bank/\w+", "patch_wise_id_bank.{leaf}", CONV),
        (r"id_norm/\w+", "id_norm.{leaf}", SAME),
    ]


LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}

# Tensors of known files that no network here has; anything else that is left over is an error.
UNUSED = re.compile(
    r"(^|\.)(mask_token|relative_position_index|attn_mask|num_batches_tracked)$"
    r"|^(encoder\.)?(fc|classifier|layer4|layers\.2\.downsample|layers\.3|norm|head)\."
)
# Swin's classifier has no norms on its intermediate outputs: with `encoder_only` they start as drawn.
OPTIONAL_IN_ENCODER = re.compile(r"^encoder\.norm\d\.")


class Tensor(NamedTuple):
    """Where a parameter is found in the release."""

    path: tuple[str, ...]  # in our nested dict
    shape: tuple[int, ...]  # in the release
    layout: Layout


def release_tensors(config: ConfigDict) -> dict[str, Tensor]:
    """Map the release's name of every tensor of this config's network to the parameter that takes it."""
    model = make_model(config)
    table = [(re.compile(pattern), name, layout) for pattern, name, layout in rules(config)]
    tensors = {}
    for path, leaf in flatten_dict(param_shapes(model)).items():
        joined = "/".join(path)
        found, name, layout = next((m, name, own) for pattern, name, own in table if (m := pattern.fullmatch(joined)))
        name = found.expand(name).replace("{leaf}", LEAVES.get(path[-1], path[-1]))
        if path[-1] == "bias":
            layout = SAME
        # A broadcast scalar has a shape and no memory.
        shape = layout.to_torch(np.broadcast_to(np.float32(0), leaf.shape)).shape
        tensors[name] = Tensor(path, shape, layout)
    return tensors


def from_torch(
    arrays: Mapping[str, np.ndarray], config: ConfigDict, *, encoder_only: bool = False, seed: int = 0
) -> Params:
    """Turn a state dict into parameters.

    Args:
        arrays: tensors by name, as in the release (`encoder.`, `LSTT.`, `decoder.` ...), with or without `module.`.
            With `encoder_only` also torchvision's mobilenet_v2 and resnet50 and Swin's names, without `encoder.`.
        config: whose network takes them.
        encoder_only: take the encoder and draw the rest from `seed`.
        seed: of what is drawn.

    Returns:
        Nested dicts of float32 arrays, as Flax's "params" collection.

    Raises:
        ConvertError: names every tensor that is missing, unused or of another shape.
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
            flat[tensor.path] = jnp.asarray(tensor.layout.to_flax(np.asarray(arrays[name], np.float32)))
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

    Nothing is unpickled but tensors.

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
    except Exception as error:  # whose words tell how to load it in spite of the danger
        other = re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", str(error))
        if other:
            raise ConvertError(
                f"{path} holds more than tensors ({other[1]}), which is not unpickled, as that can run code; save the "
                "tensors alone, torch.save(model.state_dict(), FILE)"
            ) from error
        raise ConvertError(
            f"{path} is no file of PyTorch weights, or was cut off; check the path or download it again"
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


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m aot_jax.convert",
        description="Convert a file of PyTorch weights to a checkpoint.",
        epilog="example: python -m aot_jax.convert AOTL.pth --config configs/aotl.py --output checkpoints/aotl",
    )
    parser.add_argument("weights", metavar="FILE", help="weights of the authors, or of an encoder: .pth, .pt or .npz")
    add_config_flags(parser, "configs/aost_r50.py")
    parser.add_argument("--output", metavar="DIR", help="checkpoint to write (default: checkpoints/<config name>)")
    parser.add_argument(
        "--part",
        choices=("all", "encoder"),
        default="all",
        help="encoder: take ImageNet weights of the encoder only, the rest starts as drawn from config.seed "
        "(default: %(default)s)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code, 2 for weights that cannot be converted."""
    args, overrides = parse_args(make_parser(), argv)
    try:
        config = load_config(args.config, overrides)
        output = Path(args.output or default_path(config))
        params = load_weights(args.weights, config, encoder_only=args.part == "encoder", seed=config.seed)
        source = {"file": str(args.weights), "sha256": sha256(args.weights), "part": args.part}
        checkpoint.save_params(output, params, config, source=source)
    except (ConfigError, ConvertError, checkpoint.CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
