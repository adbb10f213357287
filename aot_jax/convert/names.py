"""Table of names: every parameter of a network, with its name and axis order in the release."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from aot_jax.network import make_model, param_shapes


class Layout(NamedTuple):
    """Axis order of a tensor in the release: conversions in both directions."""

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
    """Return the layout of a grouped convolution's bias: (heads offsets,)."""
    return Layout(lambda x: x.reshape(heads, -1), lambda x: x.reshape(-1))


def rules(config: ConfigDict) -> list[tuple[str, str, Layout]]:
    """List (regex of our path, name in the release, layout). `{leaf}` is the tensor's name in PyTorch's layers."""
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

# Tensors of known files that our networks lack; any other unused tensor is an error.
UNUSED = re.compile(
    r"(^|\.)(mask_token|relative_position_index|attn_mask|num_batches_tracked)$"
    r"|^(encoder\.)?(fc|classifier|layer4|layers\.2\.downsample|layers\.3|norm|head)\."
)
# Swin's classifier has no norms on its intermediate outputs: with `encoder_only` they keep their initial values.
OPTIONAL_IN_ENCODER = re.compile(r"^encoder\.norm\d\.")


class Tensor(NamedTuple):
    """Where a parameter is found in the release."""

    path: tuple[str, ...]  # path in the nested dict of parameters
    shape: tuple[int, ...]  # shape in the release
    layout: Layout


def release_tensors(config: ConfigDict) -> dict[str, Tensor]:
    """Map the name of each tensor in the release to its parameter in this config's network."""
    model = make_model(config)
    table = [(re.compile(pattern), name, layout) for pattern, name, layout in rules(config)]
    tensors = {}
    for path, leaf in flatten_dict(param_shapes(model)).items():
        joined = "/".join(path)
        found, name, layout = next((m, name, axes) for pattern, name, axes in table if (m := pattern.fullmatch(joined)))
        name = found.expand(name).replace("{leaf}", LEAVES.get(path[-1], path[-1]))
        if path[-1] == "bias":
            layout = SAME
        # A broadcast scalar has the shape but allocates no memory.
        shape = layout.to_torch(np.broadcast_to(np.float32(0), leaf.shape)).shape
        tensors[name] = Tensor(path, shape, layout)
    return tensors
