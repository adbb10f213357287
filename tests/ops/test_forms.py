"""GPU forms equal the CPU's in values and gradients; a frame's program for CUDA has no loops."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax._src.cudnn import fused_attention_stablehlo as cudnn
from tiny import normal, value_and_gradients

from aot_jax.config import load_config
from aot_jax.network import make_model, param_shapes
from aot_jax.ops import attention, forms
from aot_jax.ops.convolution import depthwise_conv, same_conv, strided_conv
from aot_jax.ops.local_attention import Relative, attend_tiles
from aot_jax.propagate import begin, memorize, step

pytestmark = pytest.mark.slow


def run(form, operands, **chosen):
    """Return the result and gradients of an operation in chosen forms."""
    with forms.choose(**chosen):
        return value_and_gradients(form, *operands)


WINDOWED = [normal(2, 2, 11, 17, 4, seed=1), normal(2, 2, 2, 11, 17, 4, seed=2), normal(2, 2, 2, 11, 17, 4, seed=3)]
PRESENT = np.array([[True, True], [True, False]])


@pytest.mark.parametrize(
    ("name", "form", "operands"),
    [
        ("depthwise", lambda x, taps: depthwise_conv(x, taps, 2, 1), [normal(2, 7, 10, 6), normal(3, 3, 6)]),
        ("depthwise", lambda x, taps: depthwise_conv(x, taps, 1, 2), [normal(2, 8, 5, 6), normal(5, 5, 6)]),
        ("image", lambda x, kernel: strided_conv(x, kernel, 2, 1, 1), [normal(2, 7, 10, 3), normal(3, 3, 3, 4)]),
        ("kernels", same_conv, [normal(2, 7, 5, 3), normal(3, 3, 3, 4)]),
        ("windows", lambda q, k, v: attend_tiles(q, k, v, None, PRESENT, 7), WINDOWED),
        (
            "windows",
            lambda q, k, v, *relative: attend_tiles(q, k, v, Relative(*relative), PRESENT, 7),
            [*WINDOWED, normal(2, 49, 4), normal(2, 49), normal(2, 49, 4)],
        ),
        ("attention", attention.attend, [normal(2, 2, 150, 4), normal(2, 2, 20, 4), normal(2, 2, 20, 4, seed=1)]),
        (
            "attention",
            lambda q, k, v: attention.attend_frames(q, k, v, PRESENT),
            [normal(2, 2, 150, 4), normal(2, 2, 2, 9, 4), normal(2, 2, 2, 9, 4, seed=1)],
        ),
    ],
)
def test_both_forms_are_one_function(name, form, operands, monkeypatch):
    monkeypatch.setattr(attention, "SCORES", 2000)  # several blocks of queries
    ours, theirs = (run(form, operands, **{name: platform}) for platform in ("cpu", "gpu"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)
        assert np.abs(a).max() > 0.1


def test_grouped_convolutions_keep_their_kernel_in_float32():
    x, taps = normal(1, 6, 5, 8, dtype=jnp.bfloat16), normal(3, 3, 8)
    half, full = (run(depthwise_conv, (x.astype(dtype), taps), depthwise="gpu") for dtype in ("bfloat16", "float32"))
    assert [y.dtype for y in half] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
    np.testing.assert_array_equal(half[0], full[0].astype(jnp.bfloat16))


@pytest.mark.parametrize("wide", [1, 3])
def test_fused_attention_skips_slots_that_hold_nothing(wide):
    """Use JAX's plain implementation, which takes the same arguments as cuDNN's."""
    q, k, v = normal(3, 2, 15, 8), normal(3, 2, 4, 7, 8, seed=1), normal(3, 2, 4, 7, 8 * wide, seed=2)
    valid = np.array([[True, True, False, False], [False, True, False, True], [True, True, True, True]])
    want = run(lambda *x: attention.attend_frames(*x, valid), (q, k, v), attention="gpu")
    got = run(lambda *x: attention.attend_valid_first(*x, valid, "xla"), (q, k, v))
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    (nothing, *_) = run(lambda *x: attention.attend_valid_first(*x, np.zeros_like(valid), "xla"), (q, k, v))
    assert np.isfinite(nothing).all()


def test_shared_queries_and_keys_are_fused_too():
    q, k, v = normal(1, 2, 15, 8), normal(1, 2, 2, 7, 8, seed=1), normal(2, 2, 2, 7, 8, seed=2)
    got = jax.jit(attention.attend_valid_first, static_argnums=4)(q, k, v, PRESENT, "xla")
    np.testing.assert_allclose(got, jax.jit(attention.attend_frames)(q, k, v, PRESENT), atol=2e-6)


def lowered(config, dtype, size):
    """Return the text of a frame's program, lowered for CUDA: segment and memorise."""
    model = make_model(config, dtype)
    params = param_shapes(model)
    image, mask = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32), jax.ShapeDtypeStruct((1, *size), jnp.int32)

    def reference(params, image, mask):
        _, frame_kv = step(model, params, None, image, mask=mask)
        return begin(model, params, frame_kv, mask, 4)

    def frame(params, memory, image, mask):
        logits, frame_kv = step(model, params, memory, image)
        return logits, memorize(model, params, memory, frame_kv, mask, 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms.jax, "default_backend", lambda: "gpu")
        memory = jax.eval_shape(reference, params, image, mask)
        return jax.jit(frame).trace(params, memory, image, mask).lower(lowering_platforms=("cuda",)).as_text()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_frame_for_cuda_has_no_loops_and_fused_attention_in_16_bits(dtype, monkeypatch):
    monkeypatch.setattr(cudnn, "check_cudnn_version", lambda: 90100)  # as where cuDNN is installed
    text = lowered(load_config("aott"), dtype, (129, 161))
    assert len(re.findall(r"stablehlo\.while", text)) == 0
    assert len(re.findall(r"stablehlo\.slice", text)) < 60
    fused = len(re.findall(r"custom_call @__cudnn\$fmhaSoftmax", text))
    assert fused == (2 if dtype == "bfloat16" else 0), "within the frame, and to memory"


def test_without_cudnn_the_plain_form_is_lowered():
    assert "__cudnn" not in lowered(tiny.load("aott").config, "bfloat16", (33, 49))


def test_unknown_forms_are_refused():
    with pytest.raises(ValueError, match="there is no form of depth; there are attention"), forms.choose(depth="cpu"):
        pass
