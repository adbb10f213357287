import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aot_jax.io import datasets
from aot_jax.io.datasets import DataError
from data_pipeline.check import check


def reports(root, kind=None):
    return {name: check(title, name, source, progress=False) for title, name, source in datasets.detect(root, kind)}


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (".", ["davis16:val", "davis17", "youtube_vos19", "static"]),
        ("DAVIS", ["davis16:val", "davis17"]),
        ("YouTubeVOS", ["youtube_vos19"]),
        ("YouTubeVOS/2019/train", ["youtube_vos19"]),
        ("Videos", ["videos"]),
    ],
)
def test_every_layout_is_found(raw, place, names):
    assert sorted(reports(raw / place)) == sorted(names)


def test_good_folders_are_counted(raw):
    found = reports(raw)
    davis = found["davis17"]
    assert (davis.videos, davis.usable, davis.frames, davis.annotated) == (4, 4, 48, 48)
    assert (davis.objects, davis.most_objects, davis.problems) == (10, 4, [])
    assert (found["youtube_vos19"].frames, found["youtube_vos19"].objects) == (48, 10)
    assert (found["static"].videos, found["static"].usable, found["static"].problems) == (8, 8, [])
    videos = reports(raw / "Videos")["videos"]
    assert (videos.frames, videos.annotated, videos.usable) == (48, 44, 4)
    assert videos.problems == [
        f"clip{k}: 1 frame(s) without a mask (fine: they are not trained on): 00003" for k in range(4)
    ]


def test_sets_for_training_say_how_and_held_out_ones_that_they_are_not(raw):
    found = reports(raw)
    assert found["davis17"].lines()[-1].endswith("--config.data.datasets=\"(('davis17', 1),)\"")
    assert (
        found["davis16:val"]
        .lines()[-1]
        .endswith("the val split of davis16 is there for scores (eval.py), not for training")
    )


def test_every_kind_of_problem_is_named(raw, tmp_path):
    root = tmp_path / "mine"
    shutil.copytree(raw / "Videos", root)

    def mask(video, frame="00000"):
        return root / "Annotations" / video / f"{frame}.png"

    ids = np.asarray(Image.open(mask("clip1"))).copy()
    Image.fromarray(np.where(ids == 1, 9, ids)).save(mask("clip1"))  # gap in ids
    Image.fromarray(ids[:50]).save(mask("clip1", "00001"))  # wrong size
    soft = np.clip(255 * (40 - np.hypot(*np.mgrid[-48:48, -64:64])), 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(mask("clip1", "00002"))  # antialiased
    (root / "JPEGImages" / "clip1" / "00004.jpg").unlink()
    for path in (root / "Annotations" / "clip2").iterdir():
        Image.fromarray(np.zeros((96, 128), np.uint8)).save(path)
    for path in sorted((root / "Annotations" / "clip3").iterdir())[1:]:
        path.unlink()
    image = root / "JPEGImages" / "clip0" / "00005.jpg"
    image.write_bytes(image.read_bytes()[:900])
    report = reports(root, "videos")["videos"]
    assert (report.videos, report.usable) == (4, 2)
    text = "\n".join(report.problems)
    for expected in (
        "clip1: ids with gaps: 1, 2, 9",
        "clip1/00001.png: 128x50 pixels, but its image has 128x96",
        "clip1/00002.png: its edges are soft, unlike those of the other masks",
        "clip1: 1 mask(s) without an image: 00004",
        "clip2: has no annotated object: left out",
        "clip3: has 1 annotated frame(s), a clip needs 2: left out",
        "clip0/00005.jpg: cannot be read",
    ):
        assert expected in text
    assert "3 more (--all" in "\n".join(report.lines(len(report.problems) - 3))


def test_masks_of_0_and_255_are_one_object(raw, tmp_path):
    shutil.copytree(raw / "Videos" / "JPEGImages" / "clip0", tmp_path / "JPEGImages" / "clip0")
    (tmp_path / "Annotations" / "clip0").mkdir(parents=True)
    for path in (raw / "Videos" / "Annotations" / "clip0").iterdir():
        ids = np.asarray(Image.open(path))
        Image.fromarray((255 * (ids > 0)).astype(np.uint8)).save(tmp_path / "Annotations" / "clip0" / path.name)
    report = reports(tmp_path)["videos"]
    assert (report.objects, report.usable) == (1, 1)


def test_youtube_vos_takes_the_frames_of_meta_json_and_objects_seen_twice(tmp_path):
    meta = {"v": {"objects": {"1": {"frames": ["00000", "00010"]}, "2": {"frames": ["00025"]}}}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": meta}))
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / part).mkdir()
    assert [frame.name for frame in datasets.youtube_vos(tmp_path, 2019).videos[0].frames] == ["00000", "00010"]
    (tmp_path / "meta.json").write_text("{}")
    with pytest.raises(DataError, match=r"meta\.json: not such a meta\.json"):
        datasets.youtube_vos(tmp_path, 2019)


def test_the_resolution_folder_is_discovered(raw, tmp_path):
    shutil.copytree(raw / "DAVIS", tmp_path / "d")
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / "d" / part / "480p").rename(tmp_path / "d" / part / "288p")
    assert len(datasets.davis(tmp_path / "d", 2017).videos[0].frames) == 12
    shutil.copytree(tmp_path / "d" / "Annotations" / "288p", tmp_path / "d" / "Annotations" / "96p")
    shutil.copytree(tmp_path / "d" / "JPEGImages" / "288p", tmp_path / "d" / "JPEGImages" / "96p")
    with pytest.raises(DataError, match=r"one other pair; found \['288p', '96p'\]"):
        datasets.davis(tmp_path / "d", 2017)


def test_the_command_line_needs_no_tensorflow_and_fails_where_nothing_is_found(raw, tmp_path):
    code = "import sys, data_pipeline.check as c; sys.argv[1:] = [sys.argv[1]]; r = c.main(); "
    code += "assert 'tensorflow' not in sys.modules; sys.exit(r)"
    done = subprocess.run([sys.executable, "-c", code, raw / "Videos"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "videos 4, usable 4; frames 48, with a mask 44; objects 10, at most 4 in one" in done.stdout
    assert "--config.data.datasets=\"(('videos', 1),)\"" in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "data_pipeline.check", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{tmp_path}: no data found" in done.stderr


@pytest.mark.slow
def test_real_data_is_as_described(real):
    train = reports(real / "davis_train_288")["davis16"]
    assert (train.videos, train.usable, train.objects, train.problems) == (30, 30, 30, [])
    assert reports(real / "DAVIS2017_240p")["davis17:val"].most_objects == 7
