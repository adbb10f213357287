import io
import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from aot_jax.io.datasets import DataError
from aot_jax.io.generated import Recipe
from data_pipeline import builders
from data_pipeline.builders import Davis
from data_pipeline.prepare import prepare
from data_pipeline.records import RecordReader
from data_pipeline.walk import Walk

SETS = ["davis17", "youtube_vos19", "static", "videos"]


@pytest.fixture(scope="module")
def sets(raw, prepared):
    return {name: prepare(name, root=raw, folder=prepared) for name in SETS}


def decode(mask):
    return np.asarray(Image.open(io.BytesIO(mask)))


def test_a_record_is_a_frame_with_its_own_bytes(raw, sets):
    data = sets["youtube_vos19"]
    assert sum(data.lengths) == 48
    assert data.kind == "youtube_vos"
    records = RecordReader([sets["davis17"], data]).read(np.array([48 + 13, 2]))
    source = raw / "YouTubeVOS" / "2019" / "train"
    assert records[0][0] == (source / "JPEGImages" / "clip1" / "00005.jpg").read_bytes()
    ids = np.asarray(Image.open(source / "Annotations" / "clip1" / "00005.png"))
    np.testing.assert_array_equal(decode(records[0][1]), ids)
    assert data.videos[1]["objects"][1] == {str(i): int((ids == i).sum()) for i in (1, 2)}
    assert records[1][0] == (raw / "DAVIS" / "JPEGImages" / "480p" / "clip0" / "00002.jpg").read_bytes()


def test_frames_without_a_mask_are_not_stored_for_own_videos(sets):
    assert sets["videos"].videos[0]["frames"] == [f"{t:05d}" for t in range(12) if t != 3]
    assert sets["videos"].left_out == ()


def test_static_images_are_named_by_set(sets):
    assert [video["name"] for video in sets["static"].videos][:2] == ["drawn/clip0_0", "drawn/clip0_6"]


@pytest.mark.parametrize("name", SETS)
def test_tfds_opens_it_and_reaches_any_record(name, sets):
    source = tfds.builder_from_directory(sets[name].folder).as_data_source("train")
    assert len(source) == sum(sets[name].lengths)
    frame = source[7]
    assert frame["image"].shape == (96, 128, 3)
    assert frame["mask"].shape == (96, 128, 1)
    assert frame["mask"].max() <= 4


def test_tfds_finds_it_by_name_without_network(sets):
    data_dir = sets["davis17"].folder.parents[2]
    source = tfds.data_source("davis/2017", data_dir=data_dir, split="train", download=False)
    assert len(source) == 48


def test_the_builder_works_the_tfds_way_from_a_manual_folder(raw, tmp_path):
    builder = Davis(config="2017", data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw / "DAVIS"))
    assert builder.info.splits["train"].num_examples == 48


def test_preparation_happens_once_and_again_when_a_file_changes(raw, tmp_path, monkeypatch, capsys):
    root = tmp_path / "raw"
    shutil.copytree(raw / "Videos", root)
    first = prepare("videos", root=root, folder=tmp_path / "out")
    assert "48/48" in capsys.readouterr().err  # the progress bar reached its end
    monkeypatch.setattr(builders, "Walk", lambda *_: pytest.fail("prepared twice"))
    assert prepare("videos", root=root, folder=tmp_path / "out") == first
    monkeypatch.undo()
    (root / "Annotations" / "clip0" / "00001.png").unlink()
    second = prepare("videos", root=root, folder=tmp_path / "out")
    assert second.folder != first.folder
    assert sum(second.lengths) == sum(first.lengths) - 1


def test_prepared_data_outlives_the_raw_files(raw, tmp_path):
    root = tmp_path / "raw"
    shutil.copytree(raw / "Videos", root)
    first = prepare("videos", root=root, folder=tmp_path / "out")
    shutil.rmtree(root)
    assert prepare("videos", root=root, folder=tmp_path / "out") == first
    with pytest.raises(DataError, match="does not exist"):
        prepare("static", root=root, folder=tmp_path / "out")


def test_an_interrupted_preparation_leaves_nothing_behind(raw, tmp_path, monkeypatch):
    class Interrupted(Walk):
        def __iter__(self):
            yield from itertools.islice(super().__iter__(), 20)
            raise KeyboardInterrupt

    monkeypatch.setattr(builders, "Walk", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare("davis17", root=raw, folder=tmp_path)
    assert not list(tmp_path.rglob("*.array_record*"))
    assert not list(tmp_path.rglob("1.0.0"))
    monkeypatch.undo()
    assert sum(prepare("davis17", root=raw, folder=tmp_path).lengths) == 48


def test_what_a_killed_preparation_left_is_removed(raw, tmp_path):
    folder = prepare("davis17", root=raw, folder=tmp_path).folder
    stale = folder.rename(folder.with_name("1.0.0.incompleteABCDEF"))
    assert prepare("davis17", root=raw, folder=tmp_path).folder == folder
    assert not stale.exists()


@pytest.mark.parametrize("fault", ["cut image", "missing mask", "size", "colours"])
def test_a_bad_file_is_named_and_stops_or_is_left_out(raw, tmp_path, fault):
    root = tmp_path / "raw"
    shutil.copytree(raw / "DAVIS", root)
    image = root / "JPEGImages" / "480p" / "clip2" / "00004.jpg"
    mask = root / "Annotations" / "480p" / "clip2" / "00004.png"
    if fault == "cut image":
        image.write_bytes(image.read_bytes()[:500])
    elif fault == "missing mask":
        mask.unlink()
    elif fault == "size":
        Image.fromarray(np.zeros((96, 100), np.uint8)).save(mask)
    else:
        shutil.copy(image, mask)
    with pytest.raises(DataError, match=r"clip2/00004.*on_bad_file=skip"):
        prepare("davis17", root=root, folder=tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.array_record*"))
    data = prepare("davis17", root=root, folder=tmp_path / "out", on_bad_file="skip")
    assert sum(data.lengths) == 47
    assert [entry["file"] for entry in data.left_out] == ["clip2/00004"]
    assert "clip2/00004" in data.left_out[0]["why"]


def test_what_is_left_out_is_told_and_counted(raw, tmp_path, capsys):
    root = tmp_path / "raw"
    shutil.copytree(raw / "Videos", root)
    cut = root / "JPEGImages" / "clip1" / "00004.jpg"
    cut.write_bytes(cut.read_bytes()[:500])
    for path in (root / "Annotations" / "clip2").iterdir():
        Image.fromarray(np.zeros((96, 100), np.uint8)).save(path)
    shutil.rmtree(root / "Annotations" / "clip3")
    data = prepare("videos", root=root, folder=tmp_path / "out", on_bad_file="skip")
    said = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "left out" in line]
    assert [line for line in said if str(cut) in line] == said[:1]
    assert sum("clip2" in line and "100x96 pixels" in line for line in said) == 11
    assert sum(line.endswith("no frame of this video has an image and a mask that can be used") for line in said) == 2
    assert said[-1].startswith("videos: 12 file(s) left out, with them 2 whole video(s): clip2, clip3. ")
    assert len(said) == 15
    assert [video["name"] for video in data.videos] == ["clip0", "clip1"]
    prepare("videos", root=root, folder=tmp_path / "out", on_bad_file="skip")
    assert capsys.readouterr().err == said[-1] + "\n"


def test_a_full_disk_is_noticed_before_writing(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(DataError, match=r"0\.0 GiB free.*config\.data\.prepared"):
        prepare("davis17", root=raw, folder=tmp_path)


def test_generated_videos_are_the_same_bytes_every_time(tmp_path):
    recipe = Recipe(seed=4, videos=3, frames=4, height=64, width=80)
    one, two = (prepare("generated", folder=tmp_path / name, recipe=recipe) for name in "ab")
    numbers = np.arange(12)
    assert RecordReader([one]).read(numbers) == RecordReader([two]).read(numbers)
    other = prepare("generated", folder=tmp_path / "a", recipe=Recipe(seed=5, videos=3, frames=4, height=64, width=80))
    assert other.folder != one.folder
    assert not set(RecordReader([one]).read(numbers)) & set(RecordReader([other]).read(numbers))


def corrupt(data, number):
    """Overwrite part of a record inside its file."""
    path = Path(data.files[0])
    content = path.read_bytes()
    image = RecordReader([data]).read(np.array([number]))[0][0]
    at = content.index(image[-300:-240])  # not in the header, which all records share
    path.write_bytes(content[:at] + bytes(60) + content[at + 60 :])


def test_a_corrupt_record_is_named_or_replaced_by_its_clip(raw, tmp_path, caplog):
    data = prepare("davis17", root=raw, folder=tmp_path)
    whole = RecordReader([data]).read(np.array([25, 29]))
    corrupt(data, 27)
    with pytest.raises(DataError, match=r"davis17 clip2/00003 in .*array_record.*record 27: cannot be read"):
        RecordReader([data]).read(np.array([25, 27, 29]))
    reader = RecordReader([data], "skip")
    assert reader.read(np.array([27, 25, 29])) == [whole[0], *whole]
    assert "clip2/00003" in caplog.text
    with pytest.raises(DataError, match="none of the records"):
        reader.read(np.array([27, 27]))


def test_wrong_names_are_errors():
    with pytest.raises(DataError, match=r"unknown dataset 'davis18'; use one of davis16, davis17"):
        prepare("davis18")
    with pytest.raises(DataError, match="on_bad_file is 'ignore'"):
        prepare("generated", on_bad_file="ignore")
