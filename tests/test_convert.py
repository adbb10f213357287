"""Conversion: names and shapes of the release, round trips, errors."""

import jax
import numpy as np
import pytest
import tiny
from flax.traverse_util import flatten_dict

from aot_jax.config import load_config
from aot_jax.convert import ConvertError, from_torch, release_tensors
from aot_jax.network import make_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def aott():
    return tiny.released("aott", "model.channels=32", "model.heads=2", "model.window=3")


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("aots", ()),
        ("aost", ("model.depth=2",)),
        ("aost_shared", ()),
        ("aost_swinb", ("model.depth=1",)),
        ("aotl_r50", ("model.depth=1",)),
        ("deaots", ()),
    ],
)
def test_round_trip(name, overrides):
    config, params, arrays = tiny.released(name, *overrides)
    back = from_torch(arrays, config)
    assert jax.tree.structure(back) == jax.tree.structure(params)
    for path, leaf in flatten_dict(params).items():
        got = flatten_dict(back)[path]
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, leaf, err_msg="/".join(path))


# Names written by hand from the release's and torchvision's modules.
HAND = {
    "aott": {
        "encoder.features.0.0.weight": (32, 3, 3, 3),
        "encoder.features.0.1.running_mean": (32,),
        "encoder.features.1.conv.0.0.weight": (32, 1, 3, 3),
        "encoder.features.1.conv.0.1.weight": (32,),
        "encoder.features.1.conv.1.weight": (16, 32, 1, 1),
        "encoder.features.1.conv.2.bias": (16,),
        "encoder.features.2.conv.0.0.weight": (96, 16, 1, 1),
        "encoder.features.2.conv.1.0.weight": (96, 1, 3, 3),
        "encoder.features.2.conv.2.weight": (24, 96, 1, 1),
        "encoder.features.2.conv.3.running_var": (24,),
        "encoder.features.17.conv.2.weight": (320, 960, 1, 1),
        "encoder.features.18.0.weight": (1280, 320, 1, 1),
        "encoder.features.18.1.running_var": (1280,),
        "encoder_projector.weight": (256, 1280, 1, 1),
        "encoder_projector.bias": (256,),
        "LSTT.layers.0.norm1.weight": (256,),
        "LSTT.layers.0.self_attn.linear_Q.weight": (256, 256),
        "LSTT.layers.0.self_attn.projection.bias": (256,),
        "LSTT.layers.0.linear_Q.weight": (256, 256),
        "LSTT.layers.0.linear_V.bias": (256,),
        "LSTT.layers.0.long_term_attn.projection.weight": (256, 256),
        "LSTT.layers.0.short_term_attn.relative_emb_k.weight": (1800, 32, 1, 1),
        "LSTT.layers.0.short_term_attn.relative_emb_k.bias": (1800,),
        "LSTT.layers.0.short_term_attn.relative_emb_v": (8, 32, 225),
        "LSTT.layers.0.short_term_attn.projection.weight": (256, 256),
        "LSTT.layers.0.linear1.weight": (1024, 256),
        "LSTT.layers.0.activation.gn.weight": (1024,),
        "LSTT.layers.0.activation.conv.weight": (1024, 1, 5, 5),
        "LSTT.layers.0.linear2.weight": (256, 1024),
        "LSTT.decoder_norms.0.weight": (256,),
        "decoder.conv_in.conv.weight": (256, 512, 1, 1),
        "decoder.conv_in.gn.bias": (256,),
        "decoder.conv_16x.conv.weight": (256, 256, 3, 3),
        "decoder.conv_8x.conv.weight": (128, 256, 3, 3),
        "decoder.conv_4x.conv.weight": (128, 128, 3, 3),
        "decoder.adapter_16x.weight": (256, 96, 1, 1),
        "decoder.adapter_8x.weight": (256, 32, 1, 1),
        "decoder.adapter_4x.weight": (128, 24, 1, 1),
        "decoder.conv_out.weight": (11, 128, 1, 1),
        "patch_wise_id_bank.weight": (256, 11, 17, 17),
        "patch_wise_id_bank.bias": (256,),
    },
    "aost_r50": {
        "encoder.conv1.weight": (64, 3, 7, 7),
        "encoder.bn1.weight": (64,),
        "encoder.layer1.0.conv1.weight": (64, 64, 1, 1),
        "encoder.layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "encoder.layer1.0.downsample.1.running_mean": (256,),
        "encoder.layer3.5.conv2.weight": (256, 256, 3, 3),
        "encoder.layer3.5.bn3.bias": (1024,),
        "LSTT.layers.2.linear_QV.weight": (512, 256),
        "LSTT.layers.2.linear_ID_KV.weight": (264, 256),
        "LSTT.layers.2.linear_ID_KV.bias": (264,),
        "id_norm.weight": (256,),
        "decoder.conv_in.0.conv.weight": (256, 512, 1, 1),
        "decoder.conv_in.1.conv.weight": (256, 768, 1, 1),
        "decoder.conv_in.2.conv.weight": (256, 1024, 1, 1),
        "decoder.conv_in.2.gn.weight": (256,),
        "decoder.adapter_16x.weight": (256, 1024, 1, 1),
        "decoder.adapter_4x.weight": (128, 256, 1, 1),
    },
    "aost_shared": {
        "LSTT.layer.linear_QV.weight": (512, 256),
        "LSTT.decoder_norm.bias": (256,),
        "decoder.conv_in.2.conv.weight": (256, 256, 1, 1),
    },
    "aotv2l_swinb": {
        "encoder.patch_embed.proj.weight": (128, 3, 4, 4),
        "encoder.patch_embed.proj.bias": (128,),
        "encoder.patch_embed.norm.weight": (128,),
        "encoder.layers.0.blocks.1.norm1.weight": (128,),
        "encoder.layers.0.blocks.1.attn.qkv.weight": (384, 128),
        "encoder.layers.0.blocks.1.attn.relative_position_bias_table": (169, 4),
        "encoder.layers.2.blocks.17.attn.proj.bias": (512,),
        "encoder.layers.2.blocks.17.mlp.fc1.weight": (2048, 512),
        "encoder.layers.1.downsample.norm.weight": (1024,),
        "encoder.layers.1.downsample.reduction.weight": (512, 1024),
        "encoder.norm2.weight": (512,),
        "decoder.conv_in.conv.weight": (256, 1024, 1, 1),
        "patch_wise_id_bank.weight": (256, 11, 16, 16),
    },
    "deaotl": {
        "LSTT.layers.0.linear_QV.weight": (640, 256),
        "LSTT.layers.0.linear_U.bias": (512,),
        "LSTT.layers.0.linear_ID_V.weight": (512, 256),
        "LSTT.layers.1.linear_ID_V.weight": (512, 512),
        "LSTT.layers.1.linear_ID_U.weight": (512, 256),
        "LSTT.layers.1.id_norm1.weight": (256,),
        "LSTT.layers.2.id_norm2.bias": (256,),
        "LSTT.layers.2.long_term_attn.dw_conv.conv.weight": (1024, 1, 5, 5),
        "LSTT.layers.2.long_term_attn.projection.weight": (512, 1024),
        "LSTT.layers.2.short_term_attn.relative_emb_k.weight": (225, 128, 1, 1),
        "LSTT.layers.2.short_term_attn.relative_emb_k.bias": (225,),
        "LSTT.layers.2.short_term_attn.dw_conv.conv.weight": (1024, 1, 5, 5),
        "LSTT.layers.2.short_term_attn.projection.bias": (512,),
        "LSTT.layers.2.self_attn.linear_QK.weight": (128, 512),
        "LSTT.layers.2.self_attn.linear_V1.weight": (512, 256),
        "LSTT.layers.2.self_attn.linear_U2.bias": (512,),
        "LSTT.layers.2.self_attn.dw_conv.conv.weight": (1024, 1, 5, 5),
        "LSTT.layers.2.self_attn.projection.weight": (512, 1024),
        "LSTT.decoder_norms.0.gn.weight": (512,),
        "decoder.conv_in.conv.weight": (256, 512, 1, 1),
        "id_norm.weight": (256,),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HAND)
def test_names_and_shapes_are_those_of_the_release(name):
    shapes = {tensor: value.shape for tensor, value in release_tensors(load_config(name)).items()}
    for tensor, shape in HAND[name].items():
        assert shapes.get(tensor) == shape, tensor


def test_every_parameter_has_one_name():
    for name in ("aotl", "aost_shared", "aost_r50", "aotv2l_swinb", "deaotl"):
        config = load_config(name)
        tensors = release_tensors(config)
        assert len({tensor.path for tensor in tensors.values()}) == len(tensors) == len(tiny.shapes(make_model(config)))


def test_layouts_by_hand(aott):
    """Single numbers land where the formula of each layer reads them."""
    config, _, arrays = aott
    marks = {
        "encoder.features.0.0.weight": (5, 2, 0, 1),  # out, in, row, column
        "encoder.features.2.conv.1.0.weight": (7, 0, 2, 1),
        "LSTT.layers.0.linear1.weight": (9, 4),  # out, in
        "LSTT.layers.0.short_term_attn.relative_emb_k.weight": (9 + 4, 6, 0, 0),  # head 1, offset 4; channel
        "LSTT.layers.0.short_term_attn.relative_emb_k.bias": (9 + 4,),
        "LSTT.layers.0.short_term_attn.relative_emb_v": (1, 6, 4),
    }
    blank = {name: np.zeros_like(value) for name, value in arrays.items()}
    for name, index in marks.items():
        blank[name][index] = 1
    flat = flatten_dict(from_torch(blank, config), sep="/")
    for path, index in {
        "encoder/features_0/kernel": (0, 1, 2, 5),
        "encoder/features_2/depthwise/kernel": (2, 1, 7),
        "lstt/layers_0/feed_forward/expand/kernel": (4, 9),
        "lstt/layers_0/short_attention/relative_k": (1, 4, 6),
        "lstt/layers_0/short_attention/relative_k_bias": (1, 4),
        "lstt/layers_0/short_attention/relative_v": (1, 4, 6),
    }.items():
        assert np.argwhere(flat[path]).tolist() == [list(index)], path


def same(a, b):
    return jax.tree.all(jax.tree.map(np.array_equal, a, b))


def test_prefix_of_data_parallel_training(aott):
    config, params, arrays = aott
    assert same(from_torch({f"module.{name}": value for name, value in arrays.items()}, config), params)


def test_what_may_be_unused(aott):
    config, params, arrays = aott
    allowed = [
        "LSTT.mask_token",
        "encoder.features.0.1.num_batches_tracked",
        "encoder.layers.0.blocks.0.attn.relative_position_index",
        "encoder.layers.0.blocks.1.attn_mask",
        "encoder.fc.weight",
        "encoder.classifier.1.bias",
        "encoder.layer4.0.conv1.weight",
        "encoder.layers.2.downsample.norm.weight",
        "encoder.layers.3.blocks.0.norm1.weight",
        "encoder.norm.bias",
        "encoder.head.weight",
        "fc.weight",
        "classifier.1.weight",
        "layer4.0.conv1.weight",
        "layers.2.downsample.reduction.weight",
        "layers.3.blocks.0.norm1.weight",
        "norm.weight",
        "head.bias",
    ]
    assert same(from_torch(arrays | {name: np.zeros(3) for name in allowed}, config), params)
    refused = [
        "LSTT.fc.weight",
        "decoder.head.weight",
        "encoder.layers.1.downsample.norm.weight",
        "encoder.norm7.weight",
        "mask_token_2",
        "optimizer",
        "LSTT.norm.weight",
        "layers.2.blocks.0.norm1.weight",
    ]
    with pytest.raises(ConvertError) as caught:
        from_torch(arrays | {name: np.zeros(3) for name in (*allowed, *refused)}, config)
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == [f"  {len(refused)} unused:", *(f"    {name}" for name in refused)]
    assert "--config" in lines[-1]


def test_everything_wrong_is_reported_together(aott):
    config, _, arrays = aott
    arrays = dict(arrays)
    del arrays["encoder_projector.bias"], arrays["LSTT.layers.0.norm2.weight"]
    arrays["decoder.conv_out.weight"] = np.zeros((12, 16, 1, 1))
    arrays["surprise"] = np.zeros(1)
    with pytest.raises(ConvertError) as caught:
        from_torch(arrays, config)
    message = str(caught.value)
    assert message.startswith("these weights do not fit aott:")
    assert "2 missing:\n    encoder_projector.bias\n    LSTT.layers.0.norm2.weight" in message
    assert "1 unused:\n    surprise" in message
    assert "1 of another shape:\n    decoder.conv_out.weight: (12, 16, 1, 1) instead of (11, 16, 1, 1)" in message
