"""Tracker: removed objects, depth by frame and by time, saved states; a small network with random weights."""

import contextlib
import json
from dataclasses import replace

import jax
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aot_jax import Tracker
from aot_jax.evaluation.timing import CompileCount
from aot_jax.tracker.depth import PATIENCE, Pace
from aot_jax.tracker.tracker import TrackError
from aot_jax.tracker.tta import advance

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = (30, 50)
FRAMES = tiny.frames(9, *SIZE)


@pytest.fixture(scope="module")
def model():
    return tiny.load("aost", "model.depth=2")


@pytest.fixture(scope="module", params=["v2", "gpm"])
def of_each_block(request):
    return tiny.of_block(request.param)


def begin(tracker, ids, count=1):
    tracker.reset()
    tracker.step(FRAMES[0], tiny.mask(*SIZE, ids))
    for frame in FRAMES[1:count]:
        tracker.step(frame)


def test_a_removed_object_was_never_there(of_each_block):
    """With references alone in memory, the video goes on as if the masks had lacked the object."""
    want = Tracker(of_each_block, gap=0)
    mask = tiny.mask(*SIZE, (5, 6, 7))
    want.step(FRAMES[0], np.where(mask == 6, 0, mask))
    removed = Tracker(of_each_block, gap=0)
    removed.step(FRAMES[0], mask)
    removed.remove([6])
    assert removed.ids == [5, 7]
    # Id 7 keeps slot 3 but has slot 2 in the other tracker: compare only what does not depend on slots.
    own, other = (jax.tree.map(np.shape, tracker.states[0].memory) for tracker in (removed, want))
    assert own == other
    only = Tracker(of_each_block, gap=0)
    only.step(FRAMES[0], np.where(mask == 7, 0, mask))
    only.remove([6])
    single = Tracker(of_each_block, gap=0)
    single.step(FRAMES[0], np.where(mask == 5, 5, 0))
    for frame in FRAMES[1:4]:
        np.testing.assert_array_equal(only.step(frame), single.step(frame))
    found = np.unique([removed.step(frame) for frame in FRAMES[1:4]])
    assert set(found) <= {0, 5, 7}


def test_removing_frees_the_slot_and_the_group(of_each_block):
    tracker = Tracker(of_each_block, gap=1)
    begin(tracker, range(1, 13), 4)
    assert tracker.states[0].groups == 2
    tracker.remove([11, 12])
    memory = tracker.states[0].memory
    assert memory.long_valid.shape[0] == 1
    assert memory.long_valid.sum() == 4  # the first group lost nothing
    tracker.remove([2])
    assert tracker.states[0].memory.long_valid.sum() == 1  # the reference
    new = np.zeros(SIZE, np.int32)
    new[3:20, 5:25] = 99
    got = tracker.step(FRAMES[4], new)
    assert (got[new == 99] == 99).all()
    assert tracker.states[0].groups == 1
    assert tracker.slots.of[99] == 2
    assert 2 not in np.unique([tracker.step(frame) for frame in FRAMES[5:7]])
    assert tracker.probabilities().shape == (*SIZE, 11)


def test_all_objects_may_go(model):
    tracker = Tracker(model, gap=1)
    begin(tracker, (4, 8), 3)
    tracker.remove([8, 4])
    assert tracker.ids == []
    np.testing.assert_array_equal(tracker.step(FRAMES[3]), np.zeros(SIZE))
    mask = tiny.mask(*SIZE, (8,))
    np.testing.assert_array_equal(tracker.step(FRAMES[4], mask), mask)
    assert set(np.unique(tracker.step(FRAMES[5]))) <= {0, 8}
    with pytest.raises(TrackError, match=r"cannot remove \[3\]: the objects tracked are \[8\]"):
        tracker.remove([8, 3])
    assert tracker.ids == [8]


def test_depth_by_frame(model):
    always = Tracker(model, 1, gap=2)
    chosen = Tracker(model, gap=2)
    mask = tiny.mask(*SIZE, (1, 4))
    for t, frame in enumerate(FRAMES[:4]):
        given = mask if t == 0 else None
        np.testing.assert_array_equal(chosen.step(frame, given, depth=1 if t else None), always.step(frame, given))
    memory = chosen.states[0].memory
    assert dict(zip(memory.long_frame.tolist(), memory.long_depth.tolist(), strict=True)) == {0: 2, 2: 1, -1: 0}
    # At full depth again: the deeper layer sees the reference alone, not the frame that it was not run on.
    valid = [layer.long_valid.sum() for layer in memory.layers()]
    assert valid == [2, 1]
    logits = []
    for _ in range(2):
        chosen.step(FRAMES[4])
        logits.append(np.asarray(chosen.states[0].logits))
    assert np.isfinite(logits).all()
    with pytest.raises(TrackError, match=r"depth is 3, but this tracker runs at 1 .. 2"):
        chosen.step(FRAMES[5], depth=3)
    with pytest.raises(TrackError, match=r"depth is 2, but this tracker runs at 1 .. 1"):
        always.step(FRAMES[5], depth=2)


@pytest.mark.parametrize("options", [{}, {"scales": (1.0, 1.3), "flip": True}], ids=["plain", "augmented"])
def test_a_saved_state_goes_on_alike(of_each_block, tmp_path, options):
    tracker = Tracker(of_each_block, gap=2, max_frames=4, **options)
    begin(tracker, (3, 300), 3)
    tracker.step(FRAMES[3], tiny.mask(*SIZE, (17,)) * (FRAMES[0][..., 0] > 128))
    tracker.save_state(tmp_path / "state.npz")
    want = [tracker.step(frame) for frame in FRAMES[4:7]]
    tracker.remove([3])
    want.append(tracker.step(FRAMES[7]))
    other = Tracker(of_each_block, gap=2, max_frames=4, **options)
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
    with pytest.raises(TrackError, match=r"is the state of another tracker: gap was 2, is 5"):
        Tracker(model, gap=5).load_state(path)
    other = replace(model, params=jax.tree.map(lambda x: x + 1, model.params))
    with pytest.raises(TrackError, match=r"is the state of another tracker: weights was '\w{8}', is '\w{8}'"):
        Tracker(other, gap=2).load_state(path)
    whole = path.read_bytes()
    for name, content in {"half": whole[: len(whole) // 2], "empty": b"", "other": b"PK nothing"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(TrackError, match=f"{name} is no saved state of a tracker"):
            tracker.load_state(tmp_path / name)
    with pytest.raises(TrackError, match="missing is no saved state"):
        tracker.load_state(tmp_path / "missing")
    tracker.load_state(path)  # failed loads left the tracker as it was
    np.testing.assert_array_equal(tracker.step(FRAMES[2]), want)


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
def test_states_of_another_making_are_refused(model, tmp_path, change):
    tracker = Tracker(model, gap=2)
    begin(tracker, (3, 4))
    tracker.save_state(tmp_path / "state.npz")
    Tracker(model, gap=2).load_state(changed(tmp_path / "state.npz", tmp_path / "same.npz"))
    path = changed(tmp_path / "state.npz", tmp_path / "changed.npz", **change)
    with pytest.raises(TrackError, match=r"changed\.npz"):
        tracker.load_state(path)
    assert tracker.ids == [3, 4]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), max_size=6), st.integers(0, 10**6))
def test_any_bytes_give_a_state_or_an_error(model, tmp_path, changes, length):
    tracker, path = Tracker(model, gap=0), tmp_path / "state.npz"
    if not path.exists():
        begin(tracker, (3, 4))
        tracker.save_state(path)
    whole = path.read_bytes()
    data = bytearray(whole[: length if length % 2 else len(whole)])
    for position, piece in changes:
        at = position % (len(data) + 1)
        data[at : at + len(piece)] = piece
    (tmp_path / "fuzz.npz").write_bytes(data)
    with contextlib.suppress(TrackError):
        tracker.load_state(tmp_path / "fuzz.npz")


def test_videos_of_many_sizes_share_the_network(model):
    tracker = Tracker(model, gap=0)

    def compiled(height, width):
        before = CompileCount.value()
        tracker.reset()
        tracker.step(np.zeros((height, width, 3), np.uint8), tiny.mask(height, width, (1,)))
        tracker.step(np.zeros((height, width, 3), np.uint8))
        return CompileCount.value() - before

    # Sizes of no other test, which would have compiled the programs already.
    first = compiled(111, 79)
    others = [compiled(110 + i, 82 - i) for i in range(3)]  # all become 113 x 81
    assert others == [3, 3, 3]  # programs that read the frame, resize masks and write labels
    assert first > 3 + 3
    assert compiled(111, 79) == 0


def pace_of(seconds, fps, frames, depth=3):
    """Run a Pace on a simulated machine, where frame t takes seconds(t, depth); return the depth of each frame."""
    pace, depths = Pace(fps, depth), []
    for t in range(frames):
        depths.append(pace.depth)
        pace.measured(seconds(t, pace.depth))
    return depths


def test_pace_finds_the_depth_and_stays():
    steady = pace_of(lambda t, depth: 0.1 + 0.05 * depth, 1 / 0.21, 400)
    assert set(steady[100:]) == {2}
    assert set(pace_of(lambda t, depth: 0.1 + 0.05 * depth, 1 / 0.3, 50)) == {3}
    assert pace_of(lambda t, depth: 1.0 * depth, 10, 100)[-1] == 1  # too slow at any depth


def test_pace_follows_the_machine():
    busy = pace_of(lambda t, depth: (0.1 + 0.05 * depth) * (2 if 100 <= t < 300 else 1), 1 / 0.32, 600)
    assert set(busy[50:100]) == {3}
    assert set(busy[200:300]) == {1}
    assert set(busy[450:]) == {3}


def test_pace_does_not_flutter():
    random = np.random.default_rng(0)
    depths = pace_of(lambda t, depth: (0.1 + 0.05 * depth) * random.uniform(0.7, 1.3), 1 / 0.25, 2000)
    changes = np.count_nonzero(np.diff(depths))
    assert changes <= 2000 / (4 * PATIENCE)


def test_a_tracker_keeps_pace(model, monkeypatch):
    clock = [0.0]
    tracker = Tracker(model, gap=0, target_fps=10)
    monkeypatch.setattr("aot_jax.tracker.tracker.time.perf_counter", lambda: clock[0])
    ran = []

    def slow(streams, states, frame, used, depth):
        clock[0] += 0.08 * depth
        ran.append(depth)
        return advance(streams, states, frame, used, depth)

    monkeypatch.setattr("aot_jax.tracker.tracker.advance", slow)
    begin(tracker, (1, 2))
    for _ in range(2 * PATIENCE):
        tracker.step(FRAMES[1])
    assert ran[: PATIENCE + 1] == [2] * (PATIENCE + 1)  # one more than patience: the first compiles
    assert ran[PATIENCE + 1 :] == [1] * (PATIENCE - 1)
    with pytest.raises(TrackError, match="target_fps is 0; it is above 0"):
        Tracker(model, target_fps=0)
    with pytest.raises(TrackError, match="several depths"):
        Tracker(tiny.load("aott"), target_fps=10)
