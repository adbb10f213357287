"""Scoring at the end of a run: scores at each depth, the copied first mask as baseline, and a video."""

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.evaluation import held_out
from aot_jax.evaluation.held_out import (
    BASELINE,
    compare_with_baseline,
    draw_video,
    load_sets,
    report_run,
    score_model,
    score_sets,
)
from aot_jax.evaluation.splits import load_split
from aot_jax.io.datasets import DataError
from aot_jax.io.masks import read_mask, write_mask

pytestmark = pytest.mark.slow

FRAMES, SIDE, STEP = 5, 12, 3  # a square that moves to the right, pixels a frame


@pytest.fixture
def split(tmp_path):
    """One video of 33 x 48 with one object, one with two."""
    for name, objects in {"one": 1, "two": 2}.items():
        for t in range(FRAMES):
            mask = np.zeros((33, 48), np.uint8)
            for i in range(objects):
                mask[2 + 15 * i : 2 + 15 * i + SIDE, 5 + STEP * t : 5 + STEP * t + SIDE] = i + 1
            write_mask(tmp_path / "set" / "Annotations" / "480p" / name / f"{t:05d}.png", mask)
            folder = tmp_path / "set" / "JPEGImages" / "480p" / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.stack([80 * mask + 40] * 3, axis=-1)).save(folder / f"{t:05d}.jpg")
    listing = tmp_path / "set" / "ImageSets" / "2017" / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("one\ntwo\n")
    return replace(load_split("davis17", tmp_path / "set"), name="generated")


def test_scores_and_video(split, tmp_path):
    model = tiny.load("aost", "model.depth=2", "inference.max_long_edge=0")
    printed = report_run(model, split, tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert saved["split"] == "generated"
    assert list(saved["scores"]) == [BASELINE, "depth 1", "depth 2"]
    # Frames between the first and the last count, each with a square that has moved by STEP a frame.
    shifts = STEP * np.arange(1, FRAMES - 1)
    want = np.mean((SIDE - shifts) / (SIDE + shifts))
    assert saved["scores"][BASELINE]["J"] == pytest.approx(want)
    assert "2 videos, 3 objects" in printed
    assert f"{BASELINE:<18} {saved['scores'][BASELINE]['J&F']:.4f} {want:.4f}" in printed
    rows = compare_with_baseline(model, split, tmp_path / "again")
    assert {name: row.J for name, row in rows.items()} == {n: f["J"] for n, f in saved["scores"].items()}
    figures = score_model(model, split, tmp_path / "model")
    assert figures["J&F"] == figures["J&F/depth2"] == saved["scores"]["depth 2"]["J&F"]
    assert figures["J&F/depth1"] == saved["scores"]["depth 1"]["J&F"]
    # The video shows the clip with the most objects at twice its size, tinted where the masks are.
    with av.open(str(tmp_path / "run" / "tracked.mp4")) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == FRAMES
    assert pictures[0].shape == (66, 96, 3)
    first = read_mask(tmp_path / "run" / "evaluation" / "depth2" / "two" / "00000.png")
    coloured = np.ptp(pictures[0][::2, ::2].astype(int), axis=-1) > 40  # frames are grey
    inside = np.zeros_like(coloured)
    inside[3:-3, 3:-3] = coloured[3:-3, 3:-3]
    assert np.mean(inside[first == 1]) > 0.5
    assert not coloured[:, -10:].any()


def test_the_video_with_the_most_objects_is_drawn_whatever_files_its_masks_are(split, tmp_path):
    one, two = split.sequences
    mask = tmp_path / "first.tif"
    Image.fromarray(read_mask(two.first_mask).astype(np.uint8)).save(mask)
    split = replace(split, sequences=(one, replace(two, masks={"00000": mask})))
    draw_video(split, tmp_path / "set" / "Annotations" / "480p", tmp_path / "drawn.mp4")
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")[::2, ::2].astype(int)
    assert np.mean(np.ptp(picture[17 + 3 : 17 + SIDE - 3, 5 + 3 : 5 + SIDE - 3], axis=-1) > 40) > 0.5


def test_several_sets_are_scored_under_their_titles(split, tmp_path, monkeypatch):
    monkeypatch.setenv("VOS_DATA", str(tmp_path / "set"))
    sets = load_sets(["davis17", ("davis17", "set")], str(tmp_path))
    assert list(sets) == ["davis17", "davis17-set"]
    assert {len(found.sequences) for found in sets.values()} == {2}
    model = tiny.load("aott", "inference.max_long_edge=0")
    alone = score_sets({"one": split}, model, tmp_path / "alone")
    assert alone == score_model(model, split, tmp_path / "alone")
    scores = iter([{"J&F": 0.2, "J": 0.1}, {"J&F": 0.4, "J": 0.3}])
    monkeypatch.setattr(held_out, "score_model", lambda model, split, folder: next(scores))
    assert score_sets(sets, model, tmp_path) == {
        "J&F": pytest.approx(0.3),
        "davis17/J&F": 0.2,
        "davis17/J": 0.1,
        "davis17-set/J&F": 0.4,
        "davis17-set/J": 0.3,
    }


@pytest.mark.parametrize("entry", [("davis17", "a", "b"), ("davis17", 3), (3,)])
def test_a_set_is_a_name_or_a_name_and_a_folder(entry):
    with pytest.raises(DataError, match=r"train.evaluate_on holds .*; write the name of a split, or \(name, folder\)"):
        load_sets([entry])
