"""A tracker's saved state: it goes on alike, and states that do not fit are refused."""

import contextlib
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from short_video import FRAMES, SIZE, begin

from aot_jax import Tracker
from aot_jax.tracker.tracker import TrackError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("block", "options"), [("v2", {}), ("gpm", {}), ("v2", {"scales": (1.0, 1.3), "flip": True})])
def test_a_saved_state_goes_on_alike(block, options, tmp_path):
    model = tiny.of_block(block)
    tracker = Tracker(model, gap=2, max_frames=4, **options)
    begin(tracker, (3, 300), 3)
    tracker.step(FRAMES[3], tiny.mask(*SIZE, (17,)) * (FRAMES[0][..., 0] > 128))
    tracker.save_state(tmp_path / "state.npz")
    want = [tracker.step(frame) for frame in FRAMES[4:7]]
    tracker.remove([3])
    want.append(tracker.step(FRAMES[7]))
    other = Tracker(model, gap=2, max_frames=4, **options)
    other.load_state(tmp_path / "state.npz")
    assert other.ids == [3, 300, 17]
    assert other.probabilities().shape == (*SIZE, 4)
    got = [other.step(frame) for frame in FRAMES[4:7]]
    other.remove([3])
    got.append(other.step(FRAMES[7]))
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 1


def test_a_bfloat16_state_comes_back(tmp_path):
    small = tiny.load("aost", "model.depth=1", "inference.dtype=bfloat16")
    tracker = Tracker(small, gap=1)
    begin(tracker, (3,), 2)
    tracker.save_state(tmp_path / "state.npz")
    other = Tracker(small, gap=1)
    other.load_state(tmp_path / "state.npz")
    assert other.states[0].memory.long[0].key.dtype == "bfloat16"
    np.testing.assert_array_equal(other.step(FRAMES[2]), tracker.step(FRAMES[2]))


def test_states_that_do_not_fit(model, tmp_path):
    path = tmp_path / "state.npz"
    tracker = Tracker(model, gap=2)
    with pytest.raises(TrackError, match="no frame has been segmented"):
        tracker.save_state(path)
    begin(tracker, (3, 4), 2)
    tracker.save_state(path)
    want = tracker.step(FRAMES[2])
    with pytest.raises(TrackError, match=r"is the state of another tracker: gap: 2 there, 5 now"):
        Tracker(model, gap=5).load_state(path)
    other = replace(model, params=jax.tree.map(lambda x: x + 1, model.params))
    with pytest.raises(TrackError, match=r"is the state of another tracker: weights: '\w{8}' there, '\w{8}' now"):
        Tracker(other, gap=2).load_state(path)
    whole = path.read_bytes()
    for name, content in {"half": whole[: len(whole) // 2], "empty": b"", "other": b"PK nothing"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrackError, match=f"{name} is not a saved state of a tracker"):
            tracker.load_state(tmp_path / name)
    with pytest.raises(TrackError, match="missing is not a saved state"):
        tracker.load_state(tmp_path / "missing")
    tracker.load_state(path)  # failed loads left the tracker as it was
    np.testing.assert_array_equal(tracker.step(FRAMES[2]), want)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """Return the saved state of a video of one frame with objects 3 and 4."""
    tracker = Tracker(model, gap=2)
    begin(tracker, (3, 4))
    tracker.save_state(path := tmp_path_factory.mktemp("saved") / "state.npz")
    return path


def changed(path, target, arrays=None, **meta):
    """Copy a saved state with changed arrays or metadata."""
    with np.load(path) as file:
        content = dict(file)
    said = json.loads(str(content.pop("meta")))
    said |= {name: value(said[name]) for name, value in meta.items()}
    content |= {name: value(content[name]) for name, value in (arrays or {}).items()}
    np.savez(target, meta=np.array(json.dumps(said)), **content)
    return target


@pytest.mark.parametrize(
    "change",
    [
        {"arrays": {"0/logits": lambda x: x[:, :-1]}},
        {"arrays": {"0/memory/long/0/key": lambda x: x.astype(np.float16)}},
        {"arrays": {"0/memory/short/1/value": lambda x: np.concatenate([x, x])}},
        {"arrays": {"0/memory/long_valid": lambda x: x[:, :0]}},
        {"arrays": {"0/latest/frame": lambda x: x[:5]}},
        {"arrays": {"0/latest/labels": lambda x: x + 10}},
        {"arrays": {"0/references/0/labels": lambda x: x - 1}},
        {"arrays": {"0/references/0/frame": lambda x: x.astype(np.float32)}},
        {"arrays": {"0/memory/long_frame": lambda x: x - 1}},
        {"slots": lambda pairs: [[3, 0]]},
        {"slots": lambda pairs: [[3, 1], [4, 1]]},
        {"slots": lambda pairs: [[3, 99]]},
        {"slots": lambda pairs: [[3, 10**9]]},
        {"slots": lambda pairs: [[-3, 1]]},
        {"slots": lambda pairs: 3},
        {"arrays": {"0/latest/index": lambda x: x + 10**9}},
        {"arrays": {"0/references/0/index": lambda x: x + 1}},
        {"references": lambda counts: []},
        {"references": lambda counts: [0]},
        {"references": lambda counts: [2]},
        {"references": lambda counts: ["a"]},
        {"settings": lambda settings: []},
        {"version": lambda version: version + 1},
    ],
)
def test_states_of_another_making_are_refused(model, saved, tmp_path, change):
    tracker = Tracker(model, gap=2)
    tracker.load_state(changed(saved, tmp_path / "same.npz"))
    path = changed(saved, tmp_path / "changed.npz", **change)
    with pytest.raises(TrackError, match=r"changed\.npz"):
        tracker.load_state(path)
    assert tracker.ids == [3, 4]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=6), st.integers(0, 10**6))
def test_any_bytes_give_a_state_or_an_error(model, saved, tmp_path, changes, length):
    tracker, whole = Tracker(model, gap=2), saved.read_bytes()
    data = bytearray(whole[: length if length % 2 else len(whole)])
    for position, piece in changes:
        at = position % (len(data) + 1)
        data[at : at + len(piece)] = piece
    (tmp_path / "fuzz.npz").write_bytes(data)
    with contextlib.suppress(TrackError):
        tracker.load_state(tmp_path / "fuzz.npz")
