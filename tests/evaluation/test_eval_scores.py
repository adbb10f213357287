"""Which videos, objects and frames are scored; reading and writing in parallel with the tracker."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import tiny
from miniature import Miniature, Oracle
from PIL import Image

from aot_jax import read_masks
from aot_jax.evaluation.benchmark import Outcome
from aot_jax.evaluation.ground_truth import score_folders, score_split
from aot_jax.evaluation.report import format_table, own_figures, seen_and_unseen
from aot_jax.evaluation.run import run_split
from aot_jax.evaluation.score import SetScores, VideoPair, score_videos
from aot_jax.evaluation.segment import GivenMasks
from aot_jax.evaluation.splits import Split, SplitVideo, load_split
from aot_jax.evaluation.timing import Timing
from aot_jax.io.datasets import ListedObject
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import MaskError, read_mask, write_mask
from aot_jax.metrics import MetricsError, score_frame, score_sequence, summarise

STEMS = ("00000", "00001", "00002", "00003", "00004")


@pytest.fixture
def masks(tmp_path):
    """Folders of true and found masks (5 frames); 9 comes at frame 2."""
    truths = [np.roll(tiny.mask(40, 60, (1, 4, 9)), 2 * t, axis=1) for t in range(5)]
    for true in truths[:2]:
        true[true == 9] = 0
    found = [np.roll(true, 3, axis=1) for true in truths]
    for stem, true, predicted in zip(STEMS, truths, found, strict=True):
        write_mask(tmp_path / "truth" / f"{stem}.png", true)
        write_mask(tmp_path / "found" / f"{stem}.png", predicted)
    return truths, found, tmp_path / "truth", tmp_path / "found"


def score_pair(truth, found, **how):
    files = {stem: truth / f"{stem}.png" for stem in STEMS}
    (result,) = score_videos([VideoPair("video", STEMS, files, found, sparse=False, **how)], workers=1)
    assert not result.problems
    return result.scores


def test_objects_of_a_folder_are_scored_as_davis_does_from_where_they_appear(masks):
    truths, found, *folders = masks
    scores = score_pair(*folders, joining=True)
    toolkit = score_sequence(truths, found)
    assert set(toolkit) == {1, 4}
    for i, score in toolkit.items():
        assert (scores[i].J_mean, scores[i].F_mean) == (score.J_mean, score.F_mean)
    assert scores[1].J_mean < 1
    assert score_frame(truths[3], found[3], [9]) == [[*scores[9].J, *scores[9].F]]


def test_objects_with_lists_are_scored_after_the_first_frame_of_theirs(masks):
    truths, found, *folders = masks
    scores = score_pair(*folders, objects={1: STEMS[2::2], 4: (), 9: STEMS[4:]})
    assert set(scores) == {1, 9}
    by_frame = np.array([score_frame(*pair, [1, 9]) for pair in zip(truths, found, strict=True)])  # (t, o, 2)
    np.testing.assert_array_equal(scores[1].J, by_frame[[2, 4], 0, 0])
    np.testing.assert_array_equal(scores[9].F, by_frame[[4], 1, 1])


def test_given_masks_count_in_what_colours_mean(masks, tmp_path):
    truths, _, folder, _ = masks
    colours = np.array([(0, 0, 0), (0, 0, 250), (250, 0, 0)], np.uint8)  # numbered in this order where both are seen
    for stem, true in zip(STEMS, truths, strict=True):
        ids = (true == 1) + 2 * (true == 4)
        write_mask(tmp_path / "out/truth" / f"{stem}.png", ids)
        Image.fromarray(colours[ids * (ids != (stem == "00001"))]).save(folder / f"{stem}.png")
    frames = tuple(tmp_path / f"{stem}.jpg" for stem in STEMS)
    things = {i: ListedObject(STEMS, "dog") for i in (1, 2)}
    split = Split("x", (SplitVideo("truth", frames, {}, things),), tmp_path, scoring="objects")
    scores = score_split(split, tmp_path / "out", workers=1).scores["truth"]
    assert {i: score.J.tolist() for i, score in scores.items()} == {1: [0, 1, 1, 1], 2: [1] * 4}


def test_seen_and_unseen_are_averaged_apart(masks):
    truths, found, *_ = masks
    scores = {"a": score_sequence(truths, found), "b": score_sequence(truths, truths)}
    things = {1: ListedObject(STEMS, "dog"), 4: ListedObject(STEMS, "ghost")}
    sequences = tuple(SplitVideo(name, (), {}, things) for name in "ab")
    split = Split("x", sequences, None, seen=frozenset({"dog"}))
    parts = seen_and_unseen(split, scores)
    for part, i in (("seen", 1), ("unseen", 4)):
        assert parts[part] == summarise({name: {i: scores[name][i]} for name in "ab"})
    assert own_figures(split, scores) == {"G": pytest.approx(np.mean([parts[p].J + parts[p].F for p in parts]) / 2)}
    split = replace(split, seen=frozenset({"dog", "ghost"}))
    assert set(seen_and_unseen(split, scores)) == {"seen"}
    assert own_figures(split, scores) == {}


def test_frames_with_ground_truth_are_scored_where_others_have_none(tmp_path):
    made = Miniature(tmp_path, truth=True).davis("2017/val.txt")
    split = load_split("davis17", tmp_path)
    timings = run_split([[Oracle(made.answers)]], split, tmp_path / "out")
    assert [timing.frames for timing in timings.values()] == [4, 2, 0]  # two of each video are not timed
    write_mask(tmp_path / "out/late/00003.png", np.zeros((33, 47), np.int32))
    whole = score_split(split, tmp_path / "out", workers=1)
    assert whole.frames == 4 + 2
    (split.annotations / "late" / "00002.png").unlink()
    found = score_split(split, tmp_path / "out", workers=1)
    assert found.frames == 3 + 2
    assert [len(score.J) for score in found.scores["late"].values()] == [3, 3, 3]
    assert found.scores["late"][1].J.tolist() == [1, 0, 1]
    assert found.warnings[-1] == "ground truth in some frames only, 3 of 6 frames are scored: late"
    for path in split.annotations.glob("*/*.png"):
        if path.stem != "00000":
            path.unlink()
    assert score_split(split, tmp_path / "out", workers=1) == SetScores({})


def test_every_fifth_frame_of_a_folder_is_scored_up_to_the_last_but_one(tmp_path):
    frames, save = 20, Image.fromarray
    for t in range(frames):
        (tmp_path / "JPEGImages/a").mkdir(parents=True, exist_ok=True)
        save(np.full((40, 60, 3), 10 * t, np.uint8)).save(tmp_path / f"JPEGImages/a/{t:05d}.jpg")
        mask = tiny.mask(40, 60, (1, 4) if t < 10 else (1, 4, 9))
        if t % 5 == 0:
            write_mask(tmp_path / f"Annotations/a/{t:05d}.png", mask)
        write_mask(tmp_path / f"out/a/{t:05d}.png", np.where((mask == 9) & (t == 15), 0, mask))
    found = score_split(load_split("folder", tmp_path), tmp_path / "out", workers=1)
    assert found.frames == 3  # 5, 10 and 15
    assert {i: score.J.tolist() for i, score in found.scores["a"].items()} == {1: [1] * 3, 4: [1] * 3, 9: [0]}
    assert found.warnings == ("ground truth in some frames only, 3 of 20 frames are scored: a",)
    # The command for two folders of masks gives the same result.
    same = score_folders(tmp_path / "Annotations", tmp_path / "out", workers=1)
    assert format_table(same.scores) == format_table(found.scores)
    assert same.warnings == found.warnings
    # A mask of a new object without the others was drawn only to add it: it is not ground truth.
    only = tiny.mask(40, 60, (1, 4, 9))
    write_mask(tmp_path / "Annotations/a/00010.png", np.where(only == 9, 9, 0))
    found = score_split(load_split("folder", tmp_path), tmp_path / "out", workers=1)
    assert {i: score.J.tolist() for i, score in found.scores["a"].items()} == {1: [1] * 2, 4: [1] * 2, 9: [0]}


def test_masks_that_do_not_fit_the_truth_are_all_named(tmp_path):
    made = Miniature(tmp_path, truth=True).folder()
    split = load_split("folder", tmp_path)
    run_split([[Oracle(made.answers)]], split, tmp_path / "out")
    (tmp_path / "out/late/00002.png").unlink()
    write_mask(tmp_path / "out/plain/00001.png", np.ones((4, 5), np.int32))
    with pytest.raises(MetricsError) as raised:
        score_split(split, tmp_path / "out", workers=1)
    assert "out/late: no mask for 1 of 6 frames: 00002" in str(raised.value)
    assert "out/plain/00001.png: the mask is 5x4, but 52x40" in str(raised.value)


def test_void_in_a_given_mask_is_no_object(tmp_path):
    made = Miniature(tmp_path, truth=False).folder()
    path = tmp_path / "Annotations/plain/00000.png"
    mask = read_mask(path)
    mask[0] = 255
    Image.fromarray(mask.astype(np.uint8)).save(path)
    frame = np.asarray(Image.open(tmp_path / "JPEGImages/plain/00000.jpg"))
    made.answers[frame.tobytes()] = np.where(mask == 255, 0, mask)
    oracle = Oracle(made.answers)
    run_split([[oracle]], load_split("folder", tmp_path), tmp_path / "out")
    assert oracle.given[2] == [1, 4, 9]


def test_a_note_of_masks_that_are_given_and_scored_is_told_once(tmp_path):
    shared, single = "a: colours are numbered: 1 #ff0000, 2 #0000ff", "b: a single frame"
    timings = {"a": Timing(1, 1.0, warnings=(shared,)), "b": Timing(1, 1.0, warnings=(single,))}
    split = Split("folder", (), tmp_path)
    outcome = Outcome(split, tmp_path, SetScores({}, (shared, "sparse")), timings, None)
    assert outcome.warnings == (shared, single, "sparse")


def test_reading_and_writing_go_on_beside_the_tracker(tmp_path, monkeypatch):
    made = Miniature(tmp_path, truth=False).folder()
    read_ahead, written_behind = threading.Event(), threading.Event()
    late, waited = [], []

    def read(path):
        if path.stem == "00002":
            read_ahead.set()
        return np.asarray(Image.open(path))

    def write(path, labels):
        if path.stem == "00000":  # as slow as the tracker's next two frames
            waited.append(written_behind.wait(20))
        write_mask(path, labels)

    class Watching(Oracle):
        def step(self, frame, mask=None):
            labels = super().step(frame, mask)
            if self.steps == 1:
                late.append(not read_ahead.wait(20))
            if self.steps == 3:
                written_behind.set()
            return labels

    monkeypatch.setattr("aot_jax.evaluation.segment.read_frame", read)
    monkeypatch.setattr("aot_jax.io.mask_writer.write_mask", write)
    split = load_split("folder", tmp_path)
    run_split([[Watching(made.answers)]], split, tmp_path / "out")
    assert late == [False]
    assert all(waited)


def test_later_masks_decide_what_the_first_means_as_in_scores(tmp_path):
    ids = [tiny.mask(24, 32, objects) for objects in ((2,), (1, 2), (1, 2))]
    ways = {"grey": np.array([0, 128, 255], np.uint8), "ids": np.array([0, 1, 255], np.uint8)}
    ways["colour"] = np.array([[0, 0, 0], [250, 50, 50], [128, 0, 0]], np.uint8)  # the second is the palette's 1
    for way, values in ways.items():
        for t, mask in enumerate(ids):
            write_jpeg(tmp_path / f"JPEGImages/480p/{way}/{t:05d}.jpg", np.full((24, 32, 3), 90, np.uint8))
            path = tmp_path / f"Annotations/480p/{way}/{t:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values[mask]).save(path)
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("\n".join(ways))
    for sequence in load_split("davis17", tmp_path).sequences:
        given = GivenMasks(sequence, binary=False)
        truth = read_masks(tmp_path / "Annotations/480p" / sequence.name)
        if sequence.name == "ids":  # 255 is void beside ids: there is no object in the first frame
            with pytest.raises(MaskError, match=r"00000\.png: the first mask has no object"):
                given.at(0)
        else:
            np.testing.assert_array_equal(given.at(0), truth["00000"])
        assert given.at(1) is None  # only the first mask is given


@pytest.mark.parametrize(("first", "files"), [(255, 1), (7, 3)])  # 255 may be void or the object, 7 one of many greys
def test_of_masks_of_one_merged_object_only_the_first_is_read(tmp_path, monkeypatch, first, files):
    for t, value in enumerate((first, 7, 255)):
        write_jpeg(tmp_path / f"JPEGImages/480p/v/{t:05d}.jpg", np.full((24, 32, 3), 90, np.uint8))
        path = tmp_path / f"Annotations/480p/v/{t:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tiny.mask(24, 32, [value]).astype(np.uint8)).save(path)
    (tmp_path / "ImageSets/2016").mkdir(parents=True)
    (tmp_path / "ImageSets/2016/val.txt").write_text("v")
    read = []
    monkeypatch.setattr(
        "aot_jax.evaluation.segment.read_masks",
        lambda files, **options: read.append(set(files)) or read_masks(files, **options),
    )
    (sequence,) = load_split("davis16", tmp_path).sequences
    given = GivenMasks(sequence, binary=True)
    assert len(set().union(*read)) == files
    np.testing.assert_array_equal(given.at(0), tiny.mask(24, 32, [1]))
