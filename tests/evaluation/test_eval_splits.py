"""eval.py on a miniature of every split, with an oracle: output files, ids, sizes, archives and scores."""

import csv
import json
import zipfile

import numpy as np
import pytest
import tiny
from miniature import COUNTS, IDS, SIZES, Miniature, Oracle, patch_command
from PIL import Image

from aot_jax import Tracker
from aot_jax.commands import eval as command
from aot_jax.evaluation.run import run_split
from aot_jax.evaluation.splits import load_split
from aot_jax.io.frames import read_frame
from aot_jax.io.masks import DAVIS_PALETTE, binarise, read_mask, write_mask

DAVIS_FILES = [f"{name}/{t:05d}.png" for name, count in COUNTS.items() for t in range(count)]
YOUTUBE_FRAMES = {"late": range(5, 30, 5), "plain": range(0, 20, 5), "still": [0]}
YOUTUBE_FILES = [f"Annotations/{name}/{t:05d}.png" for name, frames in YOUTUBE_FRAMES.items() for t in frames]


def build(root, split, truth, all_frames=False):
    made = Miniature(root, truth)
    if split.startswith("youtubevos"):
        return made.youtubevos(2000 + int(split[-2:]), all_frames)
    if split == "folder":
        return made.folder()
    listing = {"davis16": "2016/val.txt", "davis17": "2017/val.txt", "davis17_testdev": "2017/test-dev.txt"}[split]
    return made.davis(listing)


def run(monkeypatch, made, split, output, *flags):
    oracle = Oracle(made.answers, binary=split == "davis16")
    patch_command(monkeypatch, lambda *_, **__: oracle)
    assert (
        command.main(["--split", split, "--data", str(made.root), "--output", str(output), "--random_weights", *flags])
        == 0
    )
    return oracle


def check_masks(made, folder, binary=False):
    """Compare every mask with the truth; also palette, ids and sizes; return the names."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("[!.]*/*.png"))
    for name in names:
        video, stem = name.removesuffix(".png").split("/")
        true = made.masks[video, stem]
        with Image.open(folder / name) as image:
            assert image.mode == "P"
            assert image.size == SIZES[video][::-1]
            colours = np.array(image.getpalette()).reshape(-1, 3)
            np.testing.assert_array_equal(colours, DAVIS_PALETTE[: len(colours)])
            np.testing.assert_array_equal(np.asarray(image), binarise(true) if binary else true)
    return names


@pytest.mark.parametrize("split", ["davis16", "davis17", "davis17_testdev", "folder"])
def test_davis_and_folders(tmp_path, monkeypatch, capsys, split):
    truth = split != "davis17_testdev"
    made = build(tmp_path / "data", split, truth)
    oracle = run(monkeypatch, made, split, tmp_path / "out")
    assert check_masks(made, tmp_path / "out", binary=split == "davis16") == DAVIS_FILES
    first = [1] if split == "davis16" else [1, 4, 9]
    assert oracle.given == ([[1, 4], [9], first, first] if split == "folder" else [first] * 3)
    printed = capsys.readouterr()
    about = json.loads((tmp_path / "out" / "scores.json").read_text())
    if split == "davis17_testdev":
        assert "not scored" in printed.out
        assert "J&F" not in about
        assert not (tmp_path / "out" / "scores.csv").exists()
        with zipfile.ZipFile(tmp_path / "out" / "davis17_testdev.zip") as archive:
            assert archive.namelist() == DAVIS_FILES
        return
    assert not list((tmp_path / "out").glob("*.zip"))
    assert (about["J&F"], about["J"], about["F"]) == (1, 1, 1)
    assert about["objects"] == (2 if split == "davis16" else 6)
    assert "not scored: there is no frame after the given masks: still" in printed.err
    assert about["videos"]["still"] == {"frames": 1, "fps": None}


@pytest.mark.parametrize(
    ("split", "all_frames", "truth"),
    [
        ("youtubevos18", False, False),
        ("youtubevos18", True, True),
        ("youtubevos19", False, True),
        ("youtubevos19", True, False),
    ],
)
def test_youtubevos(tmp_path, monkeypatch, capsys, split, all_frames, truth):
    made = build(tmp_path / "data", split, truth, all_frames)
    oracle = run(monkeypatch, made, split, tmp_path / "out", *["--all_frames"] * all_frames)
    assert oracle.given == [[1, 4], [9], [1, 4, 9], [1, 4, 9]]
    names = check_masks(made, tmp_path / "out" / "Annotations")
    if all_frames:
        # From the first annotated frame to the last: 5 .. 25, 0 .. 15 and 0.
        assert len(names) == oracle.steps == 21 + 16 + 1
        assert (names[0], names[20], names[21]) == ("late/00005.png", "late/00025.png", "plain/00000.png")
    else:
        assert [f"Annotations/{name}" for name in names] == YOUTUBE_FILES
    with zipfile.ZipFile(tmp_path / "out" / f"{split}.zip") as archive:
        assert archive.namelist() == YOUTUBE_FILES
        assert archive.testzip() is None
        for name in YOUTUBE_FILES:
            assert archive.read(name) == (tmp_path / "out" / name).read_bytes()
    for stem in ("00005", "00010"):
        labels = read_mask(tmp_path / "out" / "Annotations" / "late" / f"{stem}.png")
        assert set(np.unique(labels)) == {0, 1, 4}
    about = json.loads((tmp_path / "out" / "scores.json").read_text())
    printed = capsys.readouterr()
    if not truth:
        assert "J&F" not in about
        assert "not scored" in printed.out
        assert printed.err == ""
        return
    assert about["seen"] == {"J": 1, "F": 1, "objects": 4}
    assert about["unseen"] == {"J": 1, "F": 1, "objects": 2}
    assert about["G"] == 1
    assert "unseen categories: J&F 1.0000" in printed.out
    with (tmp_path / "out" / "scores.csv").open() as stream:
        rows = [(row["sequence"], row["object"]) for row in csv.DictReader(stream)]
    assert rows == [(name, str(i)) for name in ("late", "plain") for i in IDS]


def test_each_object_is_scored_in_its_own_frames(tmp_path, monkeypatch):
    made = build(tmp_path / "data", "youtubevos18", truth=True)
    wrong = made.masks["late", "00020"].copy()
    wrong[wrong == 9] = 0
    frame = read_frame(made.root / "YouTubeVOS/2018/valid/JPEGImages/late/00020.jpg")
    made.answers[frame.tobytes()] = wrong
    run(monkeypatch, made, "youtubevos18", tmp_path / "out")
    about = json.loads((tmp_path / "out" / "scores.json").read_text())
    # The frame in which 9 is given is not scored; of the two after it, one is wrong.
    assert about["sequences"]["late"]["9"] == {"J": 0.5, "F": 0.5}
    assert about["sequences"]["late"]["1"] == {"J": 1, "F": 1}
    assert about["seen"]["J"] == pytest.approx(3.5 / 4)
    assert about["unseen"]["J"] == 1
    assert about["G"] == pytest.approx((3.5 / 4 + 1) / 2)


def test_categories_of_the_training_set_decide_what_is_seen(tmp_path):
    made = build(tmp_path, "youtubevos19", truth=False)
    assert "dog" in load_split("youtubevos19", made.root).seen
    train = made.root / "YouTubeVOS/2019/train/meta.json"
    train.parent.mkdir()
    objects = {"1": {"category": "unicycle", "frames": ["00000"]}, "2": {"category": "ghost", "frames": []}}
    train.write_text(json.dumps({"videos": {"a": {"objects": objects}}}))
    assert load_split("youtubevos19", made.root).seen == {"unicycle"}


def test_a_network_marks_no_pixel_of_an_object_before_its_first_frame(tmp_path):
    made = build(tmp_path / "data", "folder", truth=False)
    split = load_split("folder", made.root)
    split = type(split)("folder", (split.sequences[0],), split.annotations)
    run_split([[Tracker(tiny.load("aott"))]], split, tmp_path / "out")
    labels = [read_mask(tmp_path / "out" / "late" / f"{t:05d}.png") for t in range(COUNTS["late"])]
    assert all(set(np.unique(x)) <= {0, 1, 4} for x in labels[:3])
    true = made.masks["late", "00003"]
    np.testing.assert_array_equal(labels[3] == 9, true == 9)
    assert all(set(np.unique(x)) <= {0, *IDS} for x in labels[3:])


def test_frames_before_the_first_object_are_background(tmp_path, monkeypatch):
    made = build(tmp_path / "data", "folder", truth=False)
    (made.root / "Annotations/late/00000.png").unlink()
    (made.root / "Annotations/late/00003.png").unlink()
    write_mask(made.root / "Annotations/late/00002.png", made.masks["late", "00004"])

    class Constant(Oracle):
        def step(self, frame, mask=None):
            self.steps += 1
            return np.ones(frame.shape[:2], np.int32)

    constant = Constant({})
    patch_command(monkeypatch, lambda *_, **__: constant)
    flags = ["--split", "folder", "--data", str(made.root), "--output", str(tmp_path / "out"), "--random_weights"]
    assert command.main(flags) == 0
    values = [int(read_mask(tmp_path / "out" / "late" / f"{t:05d}.png").max()) for t in range(COUNTS["late"])]
    assert values == [0, 0, 1, 1, 1, 1]
    assert constant.steps == 4 + COUNTS["plain"] + COUNTS["still"]


def test_the_default_places_and_what_is_said_when_they_are_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VOS_DATA", raising=False)
    assert command.main(["--split", "youtubevos18"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: data/YouTubeVOS/2018/valid/meta.json does not exist")
    assert "https://youtube-vos.org" in message
    made = build(tmp_path / "data", "youtubevos18", truth=False)
    assert command.main(["--split", "youtubevos18"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: no checkpoint at checkpoints/aost_r50 or runs/aost_r50, and no weights ship")
    assert "python -m aot_jax.convert" in message
    weights = tmp_path / "checkpoints/aost_r50"
    weights.mkdir(parents=True)
    (weights / "model.json").write_text("{}")
    oracle = Oracle(made.answers)
    patch_command(monkeypatch, lambda *_, **__: oracle)
    assert command.main(["--split", "youtubevos18"]) == 0
    assert (tmp_path / "results/youtubevos18/aost_r50_depth1/youtubevos18.zip").is_file()
    assert command.main(["--split", "youtubevos18", "--all_frames"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: data/YouTubeVOS/2018/valid_all_frames/JPEGImages does not exist")
    assert command.main(["--split", "davis17", "--all_frames"]) == 2
    assert "split davis17 has no other frames" in capsys.readouterr().err


def test_options_reach_the_tracker(tmp_path, monkeypatch, capsys):
    made = build(tmp_path / "data", "davis17", truth=False)
    seen = []

    def tracker(model, depth, **options):
        seen.append((depth, options))
        oracle = Oracle(made.answers)
        oracle.depth = depth or 3
        return oracle

    patch_command(monkeypatch, tracker)
    configs = []
    monkeypatch.setattr("aot_jax.network.FoundNetwork.load", lambda found, *_: configs.append(found.config))
    monkeypatch.chdir(tmp_path)
    flags = ["--split", "davis17", "--data", str(made.root), "--config", "aost", "--random_weights"]
    more = ["--multi_scale", "--flip", "--max_long_edge", "800", "--depth", "2", "--dtype", "bfloat16"]
    assert command.main([*flags, *more]) == 0
    assert seen[-1] == (2, {"scales": (1.2, 1.3, 1.4), "flip": True, "output_height": None})
    assert configs[-1].inference.max_long_edge == 800
    assert configs[-1].inference.dtype == "bfloat16"
    about = json.loads((tmp_path / "results/davis17/aost_depth2_multi_scale_flip/scores.json").read_text())
    assert (about["scales"], about["flip"], about["inference.dtype"]) == ([1.2, 1.3, 1.4], True, "bfloat16")
    assert command.main([*flags, "--multi_scale", "0.5", "1"]) == 0
    assert seen[-1] == (3, {"scales": (0.5, 1.0), "flip": False, "output_height": None})
    for text in ("0", "-1", "x"):
        with pytest.raises(SystemExit):
            command.main([*flags, "--multi_scale", text])
        assert "--multi_scale" in capsys.readouterr().err
