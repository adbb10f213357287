"""Short-term attention: the fast form equals the plain form and a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import value_and_gradients

from aot_jax.models.local_attention import ShortTermAttention
from aot_jax.ops import local_attention
from aot_jax.ops.local_attention import Relative, attend_patches, attend_tiles

pytestmark = pytest.mark.slow

HEADS, DEPTH, WIDE = 2, 4, 6  # values are wider than keys, as DeAOT's are


def operands(batch, frames, height, width, window, relative="keys and values", seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    q = draw(batch, HEADS, height, width, DEPTH)
    k, v = (draw(batch, HEADS, frames, height, width, depth) for depth in (DEPTH, WIDE))
    added = None
    if "keys" in relative:
        key, bias = draw(HEADS, window**2, DEPTH), draw(HEADS, window**2)
        added = Relative(key, bias, draw(HEADS, window**2, WIDE) if "values" in relative else None)
    return q, k, v, added


@pytest.mark.parametrize(
    ("batch", "frames", "height", "width", "window", "relative", "valid"),
    [
        (2, 1, 9, 13, 7, "keys and values", [[True], [True]]),
        (1, 1, 11, 5, 15, "keys and values", [[True]]),  # smaller than the window
        (1, 1, 17, 3, 17, "keys and values", [[True]]),  # the window reaches past a neighbouring tile
        (2, 3, 9, 8, 7, "keys and values", [[True, True, False], [True, False, False]]),
        (2, 3, 5, 10, 15, "", [[True, True, True], [True, False, True]]),
        (2, 1, 9, 8, 7, "keys", [[True], [True]]),  # as DeAOT's
        (2, 1, 8, 9, 1, "keys and values", [[True], [True]]),
    ],
)
def test_tiles_equal_patches(batch, frames, height, width, window, relative, valid, monkeypatch):
    monkeypatch.setattr(local_attention, "SCORES", 30_000)  # several strips where images are high
    args, valid = operands(batch, frames, height, width, window, relative), jnp.array(valid)
    (want, *want_gradients), (got, *got_gradients) = (
        value_and_gradients(lambda *args, form=form: form(*args, valid, window), *args)
        for form in (attend_patches, attend_tiles)
    )
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert np.abs(want).max() > 0.5
    pairs = zip(jax.tree.leaves_with_path(got_gradients), jax.tree.leaves(want_gradients), strict=True)
    for (path, mine), theirs in pairs:
        np.testing.assert_allclose(mine, theirs, atol=3e-5, err_msg=str(path))
        assert np.abs(theirs).max() > 0.1 or window == 1, path


def by_loop(q, k, v, relative, valid, window):
    """Attend by the formula of section 4.2, one query at a time, in float64."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    added = Relative(*(np.asarray(x, np.float64) for x in relative))
    batch, heads, height, width, depth = q.shape
    radius = window // 2
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for b, n, y, x in np.ndindex(batch, heads, height, width):
        scores, values = [], []
        for t in range(k.shape[2]):
            for o in range(window**2):
                row, column = y + o // window - radius, x + o % window - radius
                if valid[b, t] and 0 <= row < height and 0 <= column < width:
                    score = q[b, n, y, x] @ k[b, n, t, row, column] / np.sqrt(depth)
                    scores.append(score + q[b, n, y, x] @ added.key[n, o] + added.bias[n, o])
                    values.append(v[b, n, t, row, column] + added.value[n, o])
        weights = np.exp(scores) / np.exp(scores).sum()
        out[b, n, y, x] = weights @ np.array(values)
    return out


@pytest.mark.parametrize("form", [attend_tiles, attend_patches])
def test_attention_equals_a_loop(form):
    args, valid = operands(2, 2, 4, 5, 3), jnp.array([[True, True], [True, False]])
    got = jax.jit(form, static_argnums=5)(*args, valid, 3)
    np.testing.assert_allclose(got, by_loop(*args, np.asarray(valid), 3), atol=2e-6)


@pytest.mark.parametrize("form", [attend_tiles, attend_patches])
def test_cells_outside_the_window_do_not_matter(form):
    (q, k, v, relative), valid = operands(2, 2, 4, 5, 3), jnp.array([[True, True], [True, False]])
    attend = jax.jit(form, static_argnums=5)
    # The window of the query at (0, 1) holds rows 0, 1 and columns 0, 1, 2.
    far_k, far_v = (jnp.full_like(x, 1e3).at[..., :2, :3, :].set(x[..., :2, :3, :]) for x in (k, v))
    want, got = attend(q, k, v, relative, valid, 3), attend(q, far_k, far_v, relative, valid, 3)
    np.testing.assert_allclose(got[:, :, 0, 1], want[:, :, 0, 1], atol=1e-5)
    assert np.abs(got - want)[:, :, 1, 1].max() > 1


def test_shared_queries_and_keys_weigh_each_samples_values_alike():
    q, k, v, _ = operands(3, 1, 9, 5, 3)
    q, k, valid = q[:1], k[:1], jnp.ones((3, 1), bool)
    module = ShortTermAttention(3, True, "tiles")
    variables = jax.jit(module.init)(jax.random.key(0), q, k, v[:1], valid[:1])
    apply = jax.jit(module.apply)
    got = apply(variables, q, k, v, valid)
    np.testing.assert_allclose(got, apply(variables, q, jnp.repeat(k, 3, axis=0), v, valid), atol=2e-6)
    assert np.abs(np.subtract(got[0], got[1])).max() > 0.5
