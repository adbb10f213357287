"""Helpers of the benchmarks: counts of arithmetic and of compilations, videos, tables, JSON."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax import lax

from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import write_mask
from aot_jax.ops import attention, local_attention
from aot_jax.propagate import encode
from bench import measure, rulers, video
from bench.programs import count_flops

X, W = np.ones((8, 16), np.float32), np.ones((16, 4), np.float32)
PRODUCT = 2 * 8 * 16 * 4


def count(f, *args, turns=1, platform="cpu"):
    return count_flops(jax.jit(f).trace(*args).jaxpr, turns, platform)


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_products_count_in_every_turn_of_a_loop():
    def mapped(x, w):
        return lax.map(lambda _: x @ w, jnp.arange(5))

    def repeated(n, x, w):
        return lax.fori_loop(0, n, lambda _, total: total + x @ w, jnp.zeros((8, 4)))

    assert count(jnp.matmul, X, W) == PRODUCT
    assert count(mapped, X, W) == 5 * PRODUCT
    assert count(repeated, 3, X, W, turns=7) == 7 * (PRODUCT + 8 * 4)
    xla = jax.jit(mapped).lower(X, W).compile().cost_analysis()["flops"]
    assert xla < 2 * PRODUCT, "XLA counts loops in full by now: its own figures will do"


def test_the_form_of_the_platform_counts():
    def f(x, w):
        return lax.platform_dependent(x, w, cpu=lambda x, w: x @ w, default=lambda x, w: (x @ w) @ w.T @ w)

    assert count(f, X, W) == PRODUCT
    assert count(f, X, W, platform="gpu") == 3 * PRODUCT


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (3, 1, 2, 2), (17, 16, 8, 1), (3, 2, 1, 1)]
)
def test_convolutions_count_as_xla_counts_them(kernel, stride, padding, dilation):
    def f(x, w):
        pads = [(padding, padding)] * 2
        return lax.conv_general_dilated(
            x, w, (stride, stride), pads, rhs_dilation=(dilation, dilation), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    args = shape(2, 33, 17, 5), shape(kernel, kernel, 5, 7)
    assert count(f, *args) == jax.jit(f).lower(*args).cost_analysis()["flops"]


def test_attention_counts_all_blocks_of_queries(monkeypatch):
    queries, keys, heads, depth = 300, 40, 2, 8
    q, kv = shape(1, heads, queries, depth), shape(1, heads, keys, depth)
    whole = count(attention.attend, q, kv, kv)
    assert whole >= 2 * 2 * heads * queries * keys * depth
    monkeypatch.setattr(attention, "SCORES", 100 * keys)
    assert count(lambda q, k, v: attention.attend(q, k, v), q, kv, kv) == whole  # traced anew


def test_each_memory_frame_counts():
    tokens, heads, depth = 128, 2, 8
    q, kv = shape(1, heads, tokens, depth), shape(1, heads, 4, tokens, depth)
    valid = jax.ShapeDtypeStruct((1, 4), jnp.bool_)
    counts = [count(attention.attend_frames, q, kv, kv, valid, turns=turns) for turns in range(4)]
    assert np.ptp(np.diff(counts)) == 0
    products = 2 * 2 * heads * tokens * tokens * depth
    elementwise = heads * tokens * (6 * tokens + 4 * depth)  # approximate, for an online softmax
    assert products < counts[1] - counts[0] < products + elementwise


def test_windows_count_as_tiles_of_keys_and_offsets():
    height, width, window, heads, depth = 20, 20, 3, 2, 8
    q, kv = shape(1, heads, height, width, depth), shape(1, heads, 1, height, width, depth)
    of_offsets = shape(heads, window**2, depth)
    relative = local_attention.Relative(of_offsets, shape(heads, window**2), of_offsets)

    def f(q, k, v, relative):
        return local_attention.attend_tiles(q, k, v, relative, jnp.ones((1, 1), bool), window)

    side = local_attention.TILE + window - 1
    queries = 3 * 3 * local_attention.TILE**2
    products = 2 * heads * queries * (2 * side**2 * depth + side * (side + 1) * (2 * depth + 1))
    assert products < count(f, q, kv, kv, relative) < 1.3 * products


def test_a_network_counts_as_xla_counts_it():
    model = tiny.load()
    traced = jax.jit(lambda params, image: encode(model.module, params, image)).trace(
        model.params, jnp.zeros((1, 33, 33, 3))
    )
    xla = traced.lower().compile().cost_analysis()["flops"]
    assert count_flops(traced.jaxpr) == pytest.approx(xla, rel=0.05)


def test_units_and_the_matrix_rate(monkeypatch):
    monkeypatch.setattr(rulers, "SIDE", 64)
    both = rulers.Rulers()
    for _ in range(3):
        both.measure()
    assert both.unit is both.matrix
    assert both.units(3 * both.unit.median) == pytest.approx(3)
    assert both.matrix.rate == pytest.approx(2 * 64**3 / both.unit.median)
    assert both.record()["unit_seconds"] == both.unit.seconds
    half = rulers.Rulers(jnp.bfloat16)
    half.measure()
    assert half.matrix is not half.unit
    assert "bfloat16 at 64^3" in half.describe()


def test_tables_and_json(tmp_path):
    table = measure.format_table(("what", "ms"), [("one", 12.345), ("three", None), ("all", 12345.6)])
    assert table.splitlines() == ["what       ms", "one      12.3", "three       -", "all    12,346"]
    path = tmp_path / "out.json"
    flags = ["--json", str(path)]
    assert (
        measure.run(argparse.ArgumentParser("python -m bench.x"), lambda args, overrides: {"figure": 1.5}, flags) == 0
    )
    written = json.loads(path.read_text())
    assert written["command"] == f"python -m bench.x --json {path}"
    assert written["figure"] == 1.5
    assert written["machine"]["jax"] == jax.__version__
    assert measure.numbers("1,10") == [1, 10]
    for text in ("", "0", "1,x"):
        with pytest.raises(argparse.ArgumentTypeError, match="list of positive numbers"):
            measure.numbers(text)


def video_args(**fields):
    given = {"height": 40, "width": 56, "frames": 2, "video": None, "mask": None}
    return argparse.Namespace(**given | fields)


def test_generated_and_real_videos(tmp_path):
    drawn = video.load_video(video_args(), 3)
    assert [frame.shape for frame in drawn.frames] == [(40, 56, 3)] * 3
    assert sorted(drawn.ids) == [1, 2, 3]
    for t, frame in enumerate(drawn.frames):
        write_jpeg(tmp_path / f"{t}.jpg", frame)
    mask = tmp_path / "masks" / "0.png"
    mask.parent.mkdir()
    labels = tiny.mask(40, 56, (4, 9))
    labels[0], labels[-1] = 9, 255
    write_mask(mask, labels)
    real = video.load_video(video_args(video=tmp_path, mask=mask, frames=9), 1)
    assert len(real.frames) == 3
    assert real.ids == [9], "the larger one; void is none"
    np.save(tmp_path / "masks" / "0.npy", labels)
    assert video.load_video(video_args(video=tmp_path, mask=tmp_path / "masks" / "0.npy"), 1).ids == [9]
    with pytest.raises(measure.BenchError, match="has 2 objects, fewer than 3"):
        video.load_video(video_args(video=tmp_path, mask=mask), 3)
    with pytest.raises(measure.BenchError, match="go together"):
        video.load_video(video_args(video=tmp_path), 1)
    with pytest.raises(measure.BenchError, match="cannot draw"):
        video.load_video(video_args(height=8), 1)


def test_nothing_is_read_from_the_cache_inside_fresh_compilation():
    read = []

    def listen(event, **_):
        if event.endswith("cache_hits"):
            read.append(event)

    def compile_one(size):
        return jax.jit(lambda x: x * 3 + size)(np.zeros(7, np.float32))

    least = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    compile_one(5)
    jax.monitoring.register_event_listener(listen)
    try:
        compile_one(5)
        assert read  # the tests have a cache
        read.clear()
        with measure.fresh_compilation():
            compile_one(5)
        assert not read
        compile_one(5)
        assert read
    finally:
        jax.monitoring.unregister_event_listener(listen)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
