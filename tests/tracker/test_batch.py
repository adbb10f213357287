"""Several videos at once: each gets the same labels as alone."""

import numpy as np
import pytest
import tiny

from aot_jax import Tracker
from aot_jax.tracker import programs
from aot_jax.tracker.batch import Next, advance_together
from aot_jax.tracker.checks import TrackError

pytestmark = pytest.mark.slow

SIZE = (30, 50)
FRAMES = tiny.frames(12, *SIZE)


def video(first, count, ids=(1, 2), later=()):
    """Return frames and masks; `later` are the numbers of frames whose mask adds object 9."""
    new = np.zeros(SIZE, np.int32)
    new[3:9, 5:25] = 9
    masks = {0: tiny.mask(*SIZE, ids)} | dict.fromkeys(later, new)
    return [(frame, masks.get(t)) for t, frame in enumerate(FRAMES[first : first + count])]


def together(trackers, videos, starts=None):
    """Return the labels of each video; `starts` are the steps at which they begin."""
    starts = starts or [0] * len(videos)
    got = [[] for _ in videos]
    for t in range(max(start + len(items) for start, items in zip(starts, videos, strict=True))):
        running = [i for i, items in enumerate(videos) if 0 <= t - starts[i] < len(items)]
        answers = advance_together([Next(trackers[i], *videos[i][t - starts[i]]) for i in running])
        for i, answer in zip(running, answers, strict=True):
            got[i].append(answer.read())
    return got


def assert_as_alone(got, make, videos):
    for labels, items in zip(got, videos, strict=True):
        tracker = make()
        agree = [np.mean(found == tracker.step(*item)) for found, item in zip(labels, items, strict=True)]
        assert min(agree) > 0.999  # rounding decides ties
        assert labels[0].dtype == np.int32


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


@pytest.mark.parametrize("name", ["aotb", "deaott"])
def test_networks_without_long_term_writes_and_with_gates(name, batches):
    model = tiny.load(name, "model.depth=1")
    videos = [video(0, 3), video(3, 3, (5,))]
    assert_as_alone(together([Tracker(model) for _ in videos], videos), lambda: Tracker(model), videos)
    assert batches == [2, 2]


def test_videos_begin_end_and_get_masks_when_they_like(batches):
    model = tiny.load("aost", "model.depth=1")

    def make():
        return Tracker(model, gap=1)

    videos = [
        video(0, 7),  # its memory has grown when the second video begins; the two then run together
        video(3, 4, (5,)),
        video(2, 4, (7, 300, 2), later=(2,)),  # gets another object
        video(5, 3, range(1, 13)),  # two groups
    ]
    got = together([make() for _ in videos], videos, starts=[0, 4, 0, 2])
    assert_as_alone(got, make, videos)
    assert batches == [2, 2, 2, 2]
    assert 9 in got[2][2]


def test_five_alike_are_four_and_one(batches):
    model = tiny.load("aost", "model.depth=1")
    videos = [video(i, 3, (i + 1,)) for i in range(5)]
    assert_as_alone(together([Tracker(model) for _ in videos], videos), lambda: Tracker(model), videos)
    assert batches == [4, 4]


def test_a_limited_memory_evicts_as_it_does_alone(batches):
    model = tiny.load("aost", "model.depth=1")

    def make():
        return Tracker(model, gap=1, max_frames=2)

    trackers, videos = [make(), make()], [video(0, 5, later=(1, 2)), video(2, 5)]  # three references, and one
    assert_as_alone(together(trackers, videos), make, videos)
    assert [tracker.states[0].memory.capacity for tracker in trackers] == [4, 2]


@pytest.mark.parametrize("options", [{"flip": True}, {"target_fps": 5.0}])
def test_what_does_not_fit_a_batch_runs_alone(options, batches):
    model = tiny.load("aost", "model.depth=1")
    videos = [video(0, 3), video(1, 3)]
    got = together([Tracker(model, gap=2, **options) for _ in videos], videos)
    assert_as_alone(got, lambda: Tracker(model, gap=2, **options), videos)
    assert batches == []


def test_an_error_is_the_answer_of_its_video_alone():
    model = tiny.load("aost", "model.depth=1")
    trackers = [Tracker(model) for _ in range(3)]
    together(trackers, [video(i, 1) for i in range(3)])
    small = np.zeros((17, 17, 3), np.uint8)
    bad = [Next(trackers[0], small), Next(trackers[1], FRAMES[0], np.zeros((3, 3), np.int32))]
    answers = advance_together([*bad, Next(trackers[2], FRAMES[3])])
    assert [type(answer) for answer in answers[:2]] == [TrackError] * 2
    assert "this frame is 17x17" in str(answers[0])
    assert "the mask is 3x3" in str(answers[1])
    assert answers[2].read().shape == SIZE
