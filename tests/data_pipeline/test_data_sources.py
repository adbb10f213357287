"""Batches from raw files, from mixtures and from sets with flaws."""

import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from aot_jax.io.datasets import DataError, own_videos
from data_pipeline.pipeline import make_batches, thread_batches
from data_pipeline.prepare import prepare
from data_pipeline.samples import Samples, describe


def take(batches, count):
    return list(itertools.islice(batches, count))


def test_raw_files_are_counted_once_and_again_when_one_changes(make_config, raw, tmp_path, monkeypatch):
    shutil.copytree(raw / "Videos", tmp_path / "v")
    data = make_config(root=str(tmp_path / "v"), prepared=str(tmp_path / "p"), datasets=(("videos", 1),))
    first = Samples(data, 0, raw=True)
    with monkeypatch.context() as patch:
        patch.setattr("data_pipeline.frames.encode_image", lambda *_: pytest.fail("counted twice"))
        assert Samples(data, 0, raw=True).table.pixels.tolist() == first.table.pixels.tolist()
    (tmp_path / "v" / "Annotations" / "clip0" / "00001.png").unlink()
    assert len(Samples(data, 0, raw=True).table.pixels) == len(first.table.pixels) - 1
    (tmp_path / "v" / "Annotations" / "clip0" / "00002.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"clip0/00002.png: .*on_bad_file=skip"):
        Samples(data, 0, raw=True)
    data.on_bad_file = "skip"
    assert len(Samples(data, 0, raw=True).table.pixels) == len(first.table.pixels) - 2


def test_raw_files_of_every_kind_are_read_as_records_hold_them(make_config, raw, tmp_path):
    """An image that EXIF rotates, one in another format, and masks whose values are not ids."""
    root = tmp_path / "v"
    shutil.copytree(raw / "Videos", root)
    for path in sorted((root / "JPEGImages" / "clip1").iterdir()):
        image = Image.open(path).transpose(Image.Transpose.ROTATE_90)
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    for path in sorted((root / "JPEGImages" / "clip2").iterdir()):
        Image.open(path).save(path.with_suffix(".webp"))
        path.unlink()
    colours = np.array([[10, 20, 30], [200, 0, 0], [0, 150, 7], [9, 9, 90], [80, 0, 80]], np.uint8)
    for path in (root / "Annotations" / "clip3").iterdir():
        Image.fromarray(colours[np.asarray(Image.open(path))]).save(path)
    data = make_config(root=str(root), prepared=str(tmp_path / "p"), datasets=(("videos", 1),))
    records, files = Samples(data, 3), Samples(data, 3, raw=True)
    numbers = np.arange(len(records.table.pixels))
    assert files.reader.read(numbers) == records.reader.read(numbers)
    assert files.table.pixels.tolist() == records.table.pixels.tolist()
    in_place = {image.relative_to(root).parts[1] for image, _ in files.reader.sets[0].raw if image.is_relative_to(root)}
    assert in_place == {"clip0", "clip3"}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"kind": "videos", "videos": [1], "left_out": []}', "no mask"])
def test_a_damaged_index_of_raw_files_is_made_anew(make_config, raw, tmp_path, damage):
    data = make_config(root=str(raw / "Videos"), prepared=str(tmp_path), datasets=(("videos", 1),))
    known = Samples(data, 0, raw=True)
    (index,) = tmp_path.glob("raw-videos-train-*/index.json")
    if damage == "no mask":
        known.reader.sets[0].raw[5][1].unlink()
    else:
        index.write_text(damage)
    again = Samples(data, 0, raw=True)
    assert again.reader.sets == known.reader.sets
    assert all(mask.is_file() for _, mask in again.reader.sets[0].raw)


def test_a_raw_file_that_went_away_is_named(make_config, raw, tmp_path):
    shutil.copytree(raw / "Videos", tmp_path / "v")
    data = make_config(root=str(tmp_path / "v"), prepared=str(tmp_path / "p"), datasets=(("videos", 1),))
    samples = Samples(data, 0, raw=True)
    shutil.rmtree(tmp_path / "v" / "JPEGImages" / "clip1")
    with pytest.raises(DataError, match=r"JPEGImages/clip1/0.*\.jpg: cannot be read \(No such file"):
        take(thread_batches(samples, range(100), 2, 2), 20)


def test_mixture_repeats_are_seen_in_an_epoch(make_config):
    samples = Samples(make_config(datasets=(("davis17", 3), ("youtube_vos19", 1))), 0)
    epoch = [samples.sampler.place(k) for k in range(16)]
    assert np.bincount(epoch).tolist() == [3] * 4 + [1] * 4
    assert samples.table.max_gap.tolist() == [12] * 4 + [3] * 4
    assert "8 videos, 96 frames, 16 samples an epoch" in describe(samples.table)


def test_a_folder_of_its_own_and_own_videos_need_no_code(make_config, raw, tmp_path):
    data = make_config(root="", prepared=str(tmp_path), datasets=(("videos", 1, str(raw / "Videos")),))
    batch = take(make_batches(data, seed=0, batch_size=2), 1)[0]
    assert batch["objects"].min() >= 1


def test_masks_of_0_and_255_train_as_one_object_and_one_frame_videos_are_left_out(make_config, raw, tmp_path, caplog):
    from PIL import Image

    root = tmp_path / "v"
    for part in ("JPEGImages", "Annotations"):
        shutil.copytree(raw / "Videos" / part / "clip0", root / part / "clip0")
        shutil.copytree(raw / "Videos" / part / "clip1", root / part / "clip1")
    for path in sorted((root / "Annotations" / "clip0").iterdir()):
        ids = np.asarray(Image.open(path))
        Image.fromarray((255 * (ids > 0)).astype(np.uint8)).save(path)
    for path in sorted((root / "Annotations" / "clip1").iterdir())[1:]:
        path.unlink()
    data = make_config(root=str(root), prepared=str(tmp_path / "p"), datasets=(("videos", 1),))
    batches = take(make_batches(data, seed=0, batch_size=2), 3)
    assert "clip1 has 1 annotated frame(s)" in caplog.text
    for batch in batches:
        assert batch["objects"].tolist() == [1, 1]
        assert set(np.unique(batch["masks"])) == {0, 1}


def test_ids_with_gaps_are_renumbered(make_config, raw, tmp_path):
    from PIL import Image

    shutil.copytree(raw / "Videos", tmp_path / "v")
    for path in (tmp_path / "v" / "Annotations").rglob("*.png"):
        ids = np.asarray(Image.open(path))
        Image.fromarray(np.array([0, 3, 50, 51, 254], np.uint8)[ids]).save(path)
    data = make_config(root=str(tmp_path / "v"), prepared=str(tmp_path / "p"), datasets=(("videos", 1),))
    for batch in take(make_batches(data, seed=0, batch_size=4), 2):
        for masks, objects in zip(batch["masks"], batch["objects"], strict=True):
            assert set(np.unique(masks)) - {0} == set(range(1, objects + 1))


def test_a_corrupt_record_stops_with_its_name_or_is_skipped(make_config, raw, tmp_path):
    shutil.copytree(raw / "DAVIS", tmp_path / "raw" / "DAVIS")
    data = make_config(root=str(tmp_path / "raw"), prepared=str(tmp_path / "p"), datasets=(("davis17", 1),))
    file = prepare("davis17", root=tmp_path / "raw", folder=tmp_path / "p").files[0]
    content = bytearray(file.read_bytes())
    jpeg = (tmp_path / "raw" / "DAVIS" / "JPEGImages" / "480p" / "clip3" / "00006.jpg").read_bytes()
    at = content.index(jpeg[-300:-200])
    content[at : at + 100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(
        DataError,
        match=r"^davis17 clip3/00006 in [^\n]*cannot be read[^\n]*; delete its folder, and the set is prepared anew$",
    ):
        take(make_batches(data, seed=0, batch_size=2), 30)
    data.on_bad_file = "skip"
    folder = file.parents[3]
    # The fingerprint includes "skip", which affects what is stored: move the damaged set to that fingerprint.
    skipping = prepare("davis17", root=tmp_path / "raw", folder=tmp_path / "p", on_bad_file="skip")
    assert skipping.files[0].parents[3] != folder
    skipping.files[0].write_bytes(content)
    assert len(take(make_batches(data, seed=0, batch_size=2), 30)) == 30


def test_the_former_place_of_data_sets_lists_frames_in_the_order_of_tracking(tmp_path):
    for number in (1, 2, 10):
        for part, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
            path = tmp_path / part / "clip" / f"{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ones((8, 8), np.uint8)).save(path)
    (video,) = own_videos(tmp_path).videos
    assert [frame.name for frame in video.frames] == ["1", "2", "10"]
