"""Tracking a whole video: both directions, later masks, stop and resume at every frame, saved progress."""

import json

import clips
import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.io.masks import MaskError, read_mask, write_mask
from aot_jax.io.sources import open_source
from aot_jax.runs import Run, RunError
from aot_jax.video.exports import EXPORTS
from aot_jax.video.prompts import read_prompts
from aot_jax.video.results import RESULTS, Progress, read_progress, save_progress
from aot_jax.video.track import track

SIZE = (24, 32)
COUNT = 9


class Witness:
    """Tracker whose labels depend on all inputs so far, in order."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.seen, self.ids = 0, []

    def step(self, frame, mask=None):
        given = np.zeros(frame.shape[:2], np.int32) if mask is None else mask
        self.seen = (self.seen * 31 + int(frame.sum()) + int(given.sum())) % 251
        self.ids += [i for i in np.unique(given[given > 0]).tolist() if i not in self.ids]
        labels = np.where(given > 0, given, 0)
        labels[-1, : len(self.ids)] = self.ids
        labels[0, 0] = self.seen
        return labels

    def stream(self, frames):
        return (self.step(frame, mask) for frame, mask in frames)

    def save_state(self, path):
        path.write_text(json.dumps([self.seen, self.ids]))

    def load_state(self, path):
        self.seen, self.ids = json.loads(path.read_text())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    for i in range(COUNT):
        Image.fromarray(clips.picture(i, *SIZE)).save(folder / f"{i:05d}.png")
    return open_source([folder])


def prompts_on(folder, video, **ids_on):
    for name, ids in ids_on.items():
        write_mask(folder / "given" / f"{int(name[1:]):05d}.png", tiny.mask(*SIZE, ids))
    return read_prompts(video, [str(folder / "given")])


def expected(video, prompts, last=True):
    """Return the masks of one walk in each direction."""
    frames = list(video.frames())
    labels = {}
    forward = Witness()
    for i in range(prompts.first, COUNT):
        labels[i] = forward.step(frames[i].pixels, prompts.at(i))
    backward = Witness()
    for i in range(prompts.first, -1, -1):
        label = backward.step(frames[i].pixels, prompts.at(i) if i == prompts.first else None)
        labels.setdefault(i, label)
    return [labels[i] for i in range(COUNT)]


def masks_of(folder):
    return [read_mask(path) for path in sorted((folder / "masks").iterdir())]


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def after(count):
    """Return a `stopped` function that is true after a number of frames."""
    left = [count]

    def stopped():
        left[0] -= 1
        return left[0] < 0

    return stopped


def go(folder, tracker, video, prompts, **options):
    with Run(folder, {}, resume=True) as run:
        return track(tracker, video, prompts, run, quiet=True, **options)


@pytest.mark.parametrize("given", [{"_0": (1,)}, {"_4": (1, 3)}, {"_8": (2,)}, {"_3": (1,), "_5": (1, 7), "_8": (9,)}])
def test_forward_then_backward(tmp_path, video, given):
    prompts = prompts_on(tmp_path, video, **given)
    assert go(tmp_path / "out", Witness(), video, prompts)
    assert_same(masks_of(tmp_path / "out"), expected(video, prompts))
    with Run(tmp_path / "out", {}, resume=True) as run:
        assert read_progress(run) == Progress("done")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["masks", "progress.json"]


def test_frames_before_the_first_mask_may_stay_empty(tmp_path, video):
    prompts = prompts_on(tmp_path, video, _4=(1,))
    assert go(tmp_path / "out", Witness(), video, prompts, backward=False)
    found = masks_of(tmp_path / "out")
    assert_same(found[4:], expected(video, prompts)[4:])
    assert [mask.any() for mask in found[:4]] == [False] * 4


@pytest.mark.parametrize("save_every", [1, 3, 100])
def test_stopped_and_resumed_at_every_frame_is_never_stopped(tmp_path, video, save_every):
    prompts = prompts_on(tmp_path, video, _3=(1,), _5=(4,))
    wanted = expected(video, prompts)
    for count in range(COUNT + 1):
        out, tries = tmp_path / f"out{count}", 0
        while not go(out, Witness(), video, prompts, save_every=save_every, stopped=after(count)):
            tries += 1
            assert tries < 20
            assert len(list(out.glob("state-*"))) == 1
            kept = masks_of(out)
            assert kept
        assert tries == {0: 10}.get(count, tries)
        assert_same(masks_of(out), wanted)
        assert not list(out.glob("state-*"))


def test_killed_between_saves_and_resumed_is_never_stopped(tmp_path, video):
    prompts = prompts_on(tmp_path, video, _3=(1,), _5=(4,))

    class Dies(Witness):
        left = 99

        def step(self, frame, mask=None):
            Dies.left -= 1
            if Dies.left < 0:
                raise KeyboardInterrupt
            return super().step(frame, mask)

    for count in range(1, 10):
        out = tmp_path / f"out{count}"
        Dies.left = count
        with pytest.raises(KeyboardInterrupt):
            go(out, Dies(), video, prompts, save_every=2)
        assert go(out, Witness(), video, prompts)
        assert_same(masks_of(out), expected(video, prompts))


def test_masks_beyond_the_end_are_told(tmp_path):
    clip = open_source([clips.write_clip(tmp_path / "a.mp4", 4, SIZE)])
    for i in (2, 7):
        write_mask(tmp_path / "given" / f"{i:05d}.png", tiny.mask(*SIZE, (1,)))
    warnings = []
    prompts = read_prompts(clip, [str(tmp_path / "given")])
    assert go(tmp_path / "out", Witness(), clip, prompts, warn=warnings.append)
    assert warnings == ["masks for frames after 3, the last of a, were not used"]
    assert len(masks_of(tmp_path / "out")) == 4
    prompts = read_prompts(clip, [str(tmp_path / "given" / "00007.png")])
    with pytest.raises(MaskError, match="the first mask is for frame 7, but a has only 4 frames"):
        go(tmp_path / "out2", Witness(), clip, prompts)


def test_a_mask_may_be_on_a_frame_that_the_file_does_not_count(tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 20, SIZE, container={"movflags": "frag_keyframe"})
    clip = open_source([path])
    assert clip.expected < 17
    prompts = read_prompts(clip, boxes=["1,1,9,9"], frame=17)
    warnings = []
    assert go(tmp_path / "out", Witness(), clip, prompts, warn=warnings.append)
    assert (len(masks_of(tmp_path / "out")), warnings) == (20, [])
    with pytest.raises(MaskError, match="there is no frame 20: a has 20 frames, numbered from 0"):
        read_prompts(clip, boxes=["1,1,9,9"], frame=20)


def test_a_video_of_one_frame_is_told(tmp_path):
    warnings = []
    clip = open_source([clips.write_clip(tmp_path / "a.mp4", 1, SIZE)], warn=warnings.append)
    assert go(tmp_path / "out", Witness(), clip, read_prompts(clip, boxes=["1,1,9,9"]), warn=warnings.append)
    assert warnings == ["a: a single frame, so there is nothing to track through"]


def test_a_failed_write_keeps_the_masks_before(tmp_path, video, monkeypatch):
    prompts = prompts_on(tmp_path, video, _0=(1,))

    def full(path, labels):
        if path.name >= "00004.png":
            raise OSError(28, "No space left on device")
        write_mask(path, labels)

    monkeypatch.setattr("aot_jax.io.mask_writer.write_mask", full)
    with pytest.raises(OSError, match="No space left"):
        go(tmp_path / "out", Witness(), video, prompts, save_every=2)
    assert len(masks_of(tmp_path / "out")) == 4
    monkeypatch.undo()
    assert go(tmp_path / "out", Witness(), video, prompts)
    assert_same(masks_of(tmp_path / "out"), expected(video, prompts))


def test_an_overwritten_run_leaves_nothing_but_what_others_put_there(tmp_path):
    out = tmp_path / "out"
    (out / "notes").mkdir(parents=True)
    with Run(out, {}, resume=True, results=RESULTS) as run:
        save_progress(run, "forward", 0, Witness().save_state)
    write_mask(out / "masks" / "00000.png", np.ones((2, 2), int))
    (out / "overlay.mp4").write_text("")
    with Run(out, {}, overwrite=True, results=RESULTS) as run:
        assert read_progress(run) == Progress()
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == ["masks", "notes", "progress.json"]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_overwritten_run_leaves_no_export(name, video, tmp_path):
    out = tmp_path / "out"
    with Run(out, {}, resume=True, results=RESULTS), EXPORTS[name](out, video, (1,)) as write:
        for frame in video.frames():
            write(frame, np.ones(frame.pixels.shape[:2], np.int32))

    def files():
        return {path.name for path in out.rglob("*") if path.is_file()} - {"progress.json", ".lock"}

    assert files()
    with Run(out, {}, overwrite=True, results=RESULTS):
        assert not files()


@pytest.mark.parametrize(
    "progress",
    [
        {"frame": 3, "state": "../secret"},
        {"frame": 3, "state": "state-forward-4"},
        {"frame": "../../secret", "state": "state-forward-../../secret"},
        {"frame": 3, "state": "state-forward-3"},
        {"frame": "3"},
        {"frame": [3]},
        {"stage": ["forward"]},
        {"stage": "up"},
        {"state": 3},
        {"more": 3},
    ],
)
def test_progress_that_does_not_fit_is_refused(tmp_path, progress):
    (tmp_path / "secret").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "state-forward-4").write_text("")
    (tmp_path / "out" / "progress.json").write_text(json.dumps({"progress": progress, "settings": {}}))
    with (
        Run(tmp_path / "out", {}, resume=True) as run,
        pytest.raises(RunError, match=r"progress\.json does not match the other files of its folder"),
    ):
        read_progress(run)
