"""eval.py --videos_at_once: the files of one video at a time, also after errors and interrupts."""

import shutil

import numpy as np
import pytest
import tiny
from miniature import COUNTS, Miniature, Oracle, patch_command

from aot_jax import Tracker
from aot_jax.commands import eval as command
from aot_jax.evaluation.run import FinishedVideos, run_split
from aot_jax.evaluation.splits import load_split
from aot_jax.io.frames import FrameError
from aot_jax.io.masks import read_mask, write_mask
from aot_jax.tracker import programs
from aot_jax.tracker.checks import TrackError

pytestmark = pytest.mark.slow


@pytest.fixture
def made(tmp_path):
    return Miniature(tmp_path / "data", truth=False).folder()


def contents(output):
    return {path.relative_to(output): path.read_bytes() for path in sorted(output.rglob("*.png"))}


def run(monkeypatch, made, output, *more, kind=Oracle):
    oracles = []

    def make(*_, **__):
        oracles.append(kind(made.answers))
        return oracles[-1]

    patch_command(monkeypatch, make)
    flags = ["--split", "folder", "--data", str(made.root), "--output", str(output), "--random_weights", *more]
    return command.main(flags), [oracle.steps for oracle in oracles[1:]]  # the first one is asked for its depth


def test_files_and_frames_are_those_of_one_at_a_time(made, tmp_path, monkeypatch):
    assert run(monkeypatch, made, tmp_path / "one") == (0, [sum(COUNTS.values())])
    code, steps = run(monkeypatch, made, tmp_path / "two", "--videos_at_once", "2")
    assert code == 0
    assert sorted(steps) == sorted([COUNTS["plain"] + COUNTS["still"], COUNTS["late"]])  # longest first
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    code, steps = run(monkeypatch, made, tmp_path / "many", "--videos_at_once", "100")
    assert sorted(steps) == sorted(COUNTS.values())  # no more trackers than videos
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_an_interrupted_run_goes_on_with_another_number_at_once(made, tmp_path, monkeypatch):
    class Interrupted(Oracle):
        def step(self, frame, mask=None):
            if self.steps == 5:
                raise KeyboardInterrupt
            return super().step(frame, mask)

    assert run(monkeypatch, made, tmp_path / "one")[0] == 0
    code, _ = run(monkeypatch, made, tmp_path / "out", "--videos_at_once", "3", kind=Interrupted)
    assert code == 130
    finished = sorted(path.stem for path in (tmp_path / "out/.run/videos").iterdir())
    assert finished == ["plain", "still"]
    assert run(monkeypatch, made, tmp_path / "out") == (0, [COUNTS["late"]])
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


@pytest.mark.parametrize("fault", ["frame", "mask"])
def test_an_error_of_one_video_lets_those_beside_it_end_and_no_other_begin(fault, made, tmp_path):
    for name in ("more", "others"):  # after the broken one
        for folder in ("JPEGImages", "Annotations"):
            shutil.copytree(made.root / folder / "still", made.root / folder / name)
    frame = made.root / "JPEGImages/plain/00002.jpg"
    if fault == "frame":
        frame.write_bytes(b"half a file")
        error, named = FrameError, str(frame)
    else:
        write_mask(made.root / "Annotations/plain/00000.png", np.full((3, 4), 2, np.int32))
        error, named = TrackError, f"{made.root}/JPEGImages/plain/00000.jpg with mask {made.root}/Annotations/plain"

    class Strict(Oracle):
        def submit(self, frame, mask=None):
            if mask is not None and mask.shape != frame.shape[:2]:
                raise TrackError("the mask has another size")
            return super().submit(frame, mask)

    split, finished = load_split("folder", made.root), FinishedVideos(tmp_path / "out", tmp_path / "out")
    with pytest.raises(error, match=named):
        run_split([[Strict(made.answers), Strict(made.answers)]], split, tmp_path / "out", finished)
    done = [sequence.name for sequence in split.sequences if finished.get(sequence)]
    assert done == ["late"]  # the longest, begun with the broken one


def test_masks_are_those_of_one_at_a_time(made, tmp_path, monkeypatch):
    batches, step_all = [], programs.step_all

    def count(model, params, memories, *rest, **options):
        batches.append(len(memories))
        return step_all(model, params, memories, *rest, **options)

    monkeypatch.setattr(programs, "step_all", count)
    for folder in ("JPEGImages", "Annotations"):
        shutil.copytree(made.root / folder / "plain", made.root / folder / "same_size")
    split, model = load_split("folder", made.root), tiny.load("aost", "model.depth=1")
    one = run_split([[Tracker(model)]], split, tmp_path / "one")
    assert batches == []
    three = run_split([[Tracker(model) for _ in range(3)]], split, tmp_path / "three")
    assert batches == [2] * (COUNTS["plain"] - 1)
    assert [timing.all_frames for timing in three.values()] == [timing.all_frames for timing in one.values()]
    names = list(contents(tmp_path / "one"))
    assert list(contents(tmp_path / "three")) == names
    for name in names:  # rounding decides ties
        assert np.mean(read_mask(tmp_path / "one" / name) == read_mask(tmp_path / "three" / name)) > 0.999
