"""eval.py with a network, from a folder in DAVIS' layout to masks and scores."""

import csv
import json

import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.commands import eval as command
from aot_jax.evaluation.splits import load_split
from aot_jax.io.masks import DAVIS_PALETTE, read_mask, write_mask
from aot_jax.metrics import score_sequence, summarise

pytestmark = pytest.mark.slow

SIZES = {"bear": (48, 64), "two-dogs": (50, 61)}
COUNT = 5
IDS = (1, 4, 9)
SMALL = (*tiny.SIZES, "model.depth=2")
FLAGS = tuple(f"--config.{override}" for override in SMALL)


def truth(name):
    """Return masks (t, h, w) of boxes that move to the right, with gaps in their ids."""
    return np.stack([np.roll(tiny.mask(*SIZES[name], IDS), 2 * t, axis=1) for t in range(COUNT)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    davis = root / "DAVIS"
    for name, size in SIZES.items():
        folder = davis / "JPEGImages" / "480p" / name
        folder.mkdir(parents=True)
        for t, (frame, mask) in enumerate(zip(tiny.frames(COUNT, *size), truth(name), strict=True)):
            Image.fromarray(frame).save(folder / f"{t:05d}.jpg")
            write_mask(davis / "Annotations" / "480p" / name / f"{t:05d}.png", mask)
    for year, lines in {
        "2016": [
            f"/JPEGImages/480p/{name}/{t:05d}.jpg /Annotations/480p/{name}/{t:05d}.png"
            for name in SIZES
            for t in range(COUNT)
        ],
        "2017": list(SIZES),
    }.items():
        listing = davis / "ImageSets" / year / "val.txt"
        listing.parent.mkdir(parents=True)
        listing.write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("checkpoints") / "aost", SMALL)


def run(data, output, *flags, split="davis17"):
    return command.main(
        ["--split", split, "--data", str(data), "--config", "configs/aost.py", *FLAGS, "--output", str(output), *flags]
    )


@pytest.fixture(scope="module")
def results(data, checkpoint, tmp_path_factory):
    output = tmp_path_factory.mktemp("results")
    assert run(data, output, "--checkpoint", str(checkpoint), "--depth", "1") == 0
    return output


def test_masks_of_a_run(data, results):
    assert sorted(path.name for path in results.iterdir()) == [".run", "bear", "scores.csv", "scores.json", "two-dogs"]
    for name, size in SIZES.items():
        files = sorted((results / name).iterdir())
        assert [file.name for file in files] == [f"{t:05d}.png" for t in range(COUNT)]
        for t, file in enumerate(files):
            with Image.open(file) as image:
                assert image.mode == "P"
                assert image.size == size[::-1]
                colours = np.array(image.getpalette()).reshape(-1, 3)
                np.testing.assert_array_equal(colours, DAVIS_PALETTE[: len(colours)])
            labels = read_mask(file)
            assert set(np.unique(labels)) <= {0, *IDS}
            if t == 0:
                np.testing.assert_array_equal(labels, truth(name)[0])


def test_scores_of_a_run_are_those_of_its_masks(results):
    scores = {
        name: score_sequence(truth(name), [read_mask(file) for file in sorted((results / name).iterdir())])
        for name in SIZES
    }
    summary = summarise(scores)
    found = json.loads((results / "scores.json").read_text())
    assert found["J&F"] == pytest.approx(summary.JF, abs=1e-12)
    assert (found["J"], found["F"]) == pytest.approx((summary.J, summary.F), abs=1e-12)
    assert found["objects"] == 6
    assert (found["split"], found["config"], found["depth"]) == ("davis17", "aost", 1)
    assert found["checkpoint"].endswith("/aost")
    with (results / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["sequence"], row["object"]) for row in rows] == [(name, str(i)) for name in SIZES for i in IDS]
    for row in rows:
        score = scores[row["sequence"]][int(row["object"])]
        assert (row["J"], row["F"], row["J&F"]) == tuple(
            f"{x:.4f}" for x in (score.J_mean, score.F_mean, score.JF_mean)
        )
        assert found["sequences"][row["sequence"]][row["object"]] == {"J": score.J_mean, "F": score.F_mean}


def test_random_weights_must_be_asked_for(data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no checkpoints/ here
    monkeypatch.setattr("aot_jax.network.init_params", tiny.draw)  # compiles faster
    assert run(data, tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: no checkpoint at checkpoints/aost")
    assert "python train.py --config configs/aost.py" in message
    assert "--random_weights" in message
    assert not (tmp_path / "out").exists()
    assert run(data, tmp_path / "out", "--random_weights", split="davis16") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("network: aost, random weights (--random_weights)\n")
    assert printed.splitlines()[1].split() == ["sequence", "object", "J", "F", "J&F", "fps"]
    assert printed.splitlines()[-1].startswith("J&F 0.")
    assert printed.splitlines()[-1].endswith(" end to end")
    about = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (about["checkpoint"], about["depth"], about["objects"]) == ("random weights", 2, 2)
    assert set(np.unique(read_mask(tmp_path / "out" / "bear" / "00001.png"))) <= {0, 1}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--config.model.dept=1",), "error: the config has no field 'model.dept'; near names: model.depth"),
        (("--checkpoint", "nowhere"), "error: no checkpoint at "),
        (("--random_weights", "--depth", "3"), "error: depth is 3, but this network runs at 1 .. 2"),
    ],
)
def test_mistakes_on_the_command_line(data, tmp_path, capsys, monkeypatch, flags, message):
    if "--random_weights" in flags:
        monkeypatch.setattr("aot_jax.network.FoundNetwork.load", lambda *_: tiny.load("aost", "model.depth=2"))
    assert run(data, tmp_path / "out", *flags) == 2
    assert capsys.readouterr().err.startswith(message)


def test_splits_of_both_years_hold_the_same_videos(data):
    by_path, by_name = load_split("davis16", data), load_split("davis17", data / "DAVIS")
    assert [sequence.name for sequence in by_path.sequences] == ["bear", "two-dogs"]
    assert by_path.sequences == by_name.sequences
    assert (by_path.binary, by_name.binary) == (True, False)
    assert by_path.sequences[1].first_mask == data / "DAVIS/Annotations/480p/two-dogs/00000.png"
    assert [frame.name for frame in by_path.sequences[1].frames] == [f"{t:05d}.jpg" for t in range(COUNT)]


def test_a_first_mask_that_does_not_fit_is_named(data, checkpoint, tmp_path, capsys):
    mask = data / "DAVIS/Annotations/480p/bear/00000.png"
    whole = mask.read_bytes()
    try:
        write_mask(mask, np.ones((48, 63), np.int32))
        assert run(data, tmp_path / "out", "--checkpoint", str(checkpoint)) == 2
        message = capsys.readouterr().err
        assert str(mask) in message
        assert "the mask is 48x63 but its frame is 48x64" in message
    finally:
        mask.write_bytes(whole)
