"""Several videos at once: each comes out as it does alone."""

import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.tracker import batch, programs
from aot_jax.tracker.batch import track_together
from aot_jax.tracker.tracker import TrackError

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = (30, 50)
FRAMES = tiny.frames(12, *SIZE)


def video(first, count, ids=(1, 2), size=SIZE, later=()):
    """Return frames and masks; `later` are the frames that bring the object 9."""
    new = np.zeros(size, np.int32)
    new[3:9, 5:25] = 9
    frames = FRAMES[first : first + count] if size == SIZE else tiny.frames(count, *size)
    masks = {0: tiny.mask(*size, ids)} | {t: new for t in later}
    return [(frame, masks.get(t)) for t, frame in enumerate(frames)]


def alone(make, items):
    tracker = make()
    return [tracker.step(*item) for item in items]


@pytest.fixture
def batches(monkeypatch):
    """Sizes of the batches that run."""
    sizes = []
    run = programs.step_all

    def count(model, params, memories, *rest, **options):
        sizes.append(len(memories))
        return run(model, params, memories, *rest, **options)

    monkeypatch.setattr(programs, "step_all", count)
    return sizes


@pytest.mark.parametrize("name", ["aotb", "aost"])
def test_videos_at_once_equal_videos_alone(name, batches):
    model = tiny.load(name, "model.depth=2")

    def make():
        return Tracker(model, gap=1 if name == "aost" else 0)

    videos = [
        video(0, 6),
        video(3, 3, (5,)),  # ends early: the last one begins in its place, in the middle of the others
        video(2, 6, (7, 300, 2), later=(2,)),  # an object more
        video(5, 5, range(1, 13)),  # two groups
        video(0, 2, size=(17, 33)),
        video(1, 4),
    ]
    got = [[] for _ in videos]
    for number, labels in track_together(iter(videos), make, 4):
        got[number].append(labels)
    for labels, items in zip(got, videos, strict=True):
        want = alone(make, items)
        assert len(labels) == len(want)
        agree = [np.mean(a == b) for a, b in zip(labels, want, strict=True)]
        assert min(agree) > 0.999  # but for ties of rounding
        assert labels[0].dtype == np.int32
    assert set(batches) == {2}
    assert len(batches) >= 4
    assert len(np.unique(got[2][-1])) > 1


def test_five_alike_are_four_and_one(batches):
    model = tiny.load("aost", "model.depth=1")

    def make():
        return Tracker(model, gap=2)

    videos = [video(i, 3, (i + 1,)) for i in range(5)]
    got = list(track_together(videos, make, 5))
    assert [number for number, _ in got] == [0, 1, 2, 3, 4] * 3
    for number, labels in got[10:]:
        np.testing.assert_array_equal(labels, alone(make, videos[number])[-1])
    assert batches == [4, 4]


def test_what_does_not_fit_a_batch_runs_alone(batches):
    model = tiny.load("aost", "model.depth=1")

    def make():
        return Tracker(model, gap=2, flip=True)

    videos = [video(0, 3), video(1, 3)]
    got = [labels for _, labels in track_together(videos, make, 2)]
    np.testing.assert_array_equal(got[::2], alone(make, videos[0]))
    assert batches == []


def test_frames_run_before_the_labels_before_are_read():
    model = tiny.load("aost", "model.depth=1")
    taken = []

    def counted(items):
        for item in items:
            taken.append(item)
            yield item

    seen = [len(taken) for _ in track_together([counted(video(0, 3)), counted(video(1, 3))], lambda: Tracker(model), 2)]
    assert seen == [4, 4, 6, 6, 6, 6]
    assert list(track_together([], lambda: Tracker(model), 2)) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((np.zeros((17, 17, 3), np.uint8), None), "this frame is 17x17"),
        ((FRAMES[0], np.zeros((3, 3), np.int32)), "the mask is 3x3"),
    ],
)
def test_an_error_says_which_video(bad, message):
    model = tiny.load("aost", "model.depth=1")
    videos = [video(0, 2), video(0, 4), [*video(1, 2), bad]]
    with pytest.raises(TrackError, match=message) as error:
        list(track_together(videos, lambda: Tracker(model), 2))
    assert error.value.video == 2
    with pytest.raises(TrackError, match="one video at a time") as error:
        list(track_together(videos, lambda: Tracker(model, target_fps=5), 2))
    assert error.value.video == 0
    assert batch.Next(Tracker(model), FRAMES[0]).mask is None
