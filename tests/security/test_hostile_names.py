"""Hostile names in lists of videos and meta.json: none leads to another folder."""

import json
from pathlib import Path

import clips
import pytest
from PIL import Image

from aot_jax.evaluation.splits import load_split
from aot_jax.io import datasets
from aot_jax.io.datasets import DataError
from aot_jax.io.names import is_plain
from aot_jax.io.sources import open_source


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "a\0b", ".hidden"])
def test_names_that_lead_elsewhere(name):
    assert not is_plain(name)


@pytest.mark.parametrize("name", ["bear", "0062f687f1", "bike-packing", "a..b", "ä ö", "C#"])
def test_names_of_videos(name):
    assert is_plain(name)


def davis(root, line):
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        folder = root / kind / "480p" / "bear"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8), 1).save(folder / f"00000.{suffix}")
        Image.new("L", (8, 8), 1).save(folder.parent / f"00000.{suffix}")
    for listing in ("2016/val.txt", "2017/val.txt", "2017/test-dev.txt", "2017/train.txt"):
        (root / "ImageSets" / listing).parent.mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / listing).write_text(f"bear\n{line}\n")


@pytest.mark.parametrize("line", ["..", "../..", "../../x/../00000.jpg", "/", "a\0b", "480p/../00000.jpg"])
def test_lists_of_sequences_name_no_other_folder(tmp_path, line):
    davis(tmp_path / "DAVIS", line)
    for split in ("davis16", "davis17", "davis17_testdev"):
        with pytest.raises(DataError, match="is not a name of a video"):
            load_split(split, tmp_path)
    with pytest.raises(DataError, match="is not a name of a video"):
        datasets.find("davis17", tmp_path)


def youtubevos(root, name, frames):
    meta = {"videos": {name: {"objects": {"1": {"category": "cat", "frames": frames}}}}}
    for part in ("valid", "train"):
        for folder in ("JPEGImages", "Annotations"):
            (root / part / folder).mkdir(parents=True)
        (root / part / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("name", ["../../x", "/tmp", "a\0b", "..", ""])
def test_meta_json_names_no_other_folder(tmp_path, name):
    youtubevos(tmp_path / "YouTubeVOS" / "2018", name, ["00000", "00005"])
    with pytest.raises(DataError, match="is not a name of a video"):
        load_split("youtubevos18", tmp_path)
    with pytest.raises(DataError, match="is not a name of a video"):
        datasets.find("youtube_vos18", tmp_path)


def test_meta_json_names_no_other_frame(tmp_path):
    root = tmp_path / "YouTubeVOS" / "2018"
    youtubevos(root, "cat", ["00000", "../../../00005"])
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (root / "valid" / folder / "cat").mkdir()
        Image.new("L", (8, 8), 1).save(root / "valid" / folder / "cat" / f"00000.{suffix}")
    with pytest.raises(DataError, match="is not a name of a frame"):
        load_split("youtubevos18", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"videos": [true]}', '{"videos": {"a": {"objects": {"1": {"frames": [["a"], ["b"]]}}}}}', "\0"],
)
def test_any_meta_json_is_refused_in_words(tmp_path, content):
    youtubevos(tmp_path / "YouTubeVOS" / "2018", "cat", ["00000"])
    for part in ("valid", "train"):
        (tmp_path / "YouTubeVOS" / "2018" / part / "meta.json").write_text(content)
    with pytest.raises(DataError):
        load_split("youtubevos18", tmp_path)
    with pytest.raises(DataError):
        datasets.find("youtube_vos18", tmp_path)


@pytest.mark.parametrize("name", ["...mp4", ".hidden.mp4"])
def test_results_are_not_named_after_a_folder_above(tmp_path, name):
    """Results go to results/track/NAME, and exports name a folder by it."""
    path = clips.write_clip(tmp_path / "a.mp4", 2).rename(tmp_path / name)
    assert open_source([path]).name == "video"
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    assert open_source([tmp_path / "0.png"]).name == "0"
    assert open_source([Path("/").joinpath(*tmp_path.parts[1:]) / "0.png"]).name == "0"
