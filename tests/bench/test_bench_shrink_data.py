"""bench/shrink_data.py: smaller copies of training data hold the same ids and keep to the limit."""

import numpy as np
import pytest
from PIL import Image

from aot_jax.io.frames import read_frame
from bench import shrink_data

PALETTE = [0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200]


@pytest.fixture
def folder(tmp_path):
    root, rng = tmp_path / "data" / "videos_64", np.random.default_rng(0)
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "clip").mkdir(parents=True)
    (root / "list.txt").write_text("clip\n")
    ids = np.zeros((64, 96), np.uint8)
    ids[10:30, 10:40], ids[36:60, 50:90] = 1, 3
    for t in range(6):
        noise = rng.integers(0, 256, (16, 24, 1), np.uint8).repeat(4, 0).repeat(4, 1).repeat(3, 2)
        Image.fromarray(noise).save(root / "JPEGImages" / "clip" / f"{t}.jpg", quality=95)
        mask = Image.fromarray(ids)
        mask.putpalette(PALETTE)
        mask.save(root / "Annotations" / "clip" / f"{t}.png")
    return root


def sizes(out):
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def test_images_are_smaller_and_masks_hold_the_same_ids(folder, tmp_path, capsys):
    assert shrink_data.main([str(tmp_path / "out"), str(folder), "--short_side", "32"]) == 0
    copy = tmp_path / "out" / "videos_64"
    assert (copy / "list.txt").read_text() == "clip\n"
    image, mask = copy / "JPEGImages" / "clip" / "5.jpg", Image.open(copy / "Annotations" / "clip" / "5.png")
    assert read_frame(image).shape == (32, 48, 3)
    assert mask.mode == "P"
    ids = np.asarray(mask)
    assert ids.shape == (32, 48)
    assert np.bincount(ids.ravel()).tolist() == [32 * 48 - 150 - 240, 150, 0, 240]
    original = read_frame(folder / "JPEGImages" / "clip" / "5.jpg").astype(float)
    assert np.abs(read_frame(image) - original.reshape(32, 2, 48, 2, 3).mean((1, 3))).mean() < 8
    assert "6 images, JPEG quality 95" in capsys.readouterr().out


def test_quality_is_the_highest_that_fits(folder, tmp_path, capsys):
    assert shrink_data.main([str(tmp_path / "best"), str(folder)]) == 0
    limit = 0.6 * sizes(tmp_path / "best")
    assert shrink_data.main([str(tmp_path / "out"), str(folder), "--mib", str(limit / 2**20)]) == 0
    assert 0.4 * limit < sizes(tmp_path / "out") <= limit
    assert read_frame(tmp_path / "out" / "videos_64" / "JPEGImages" / "clip" / "0.jpg").shape == (64, 96, 3)
    assert "quality 95" not in capsys.readouterr().out.splitlines()[-1]


def test_what_does_not_fit_is_refused_in_one_line(folder, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    for flags, words in (
        ([tmp_path / "new", folder, "--mib", "0.001"], "--mib 0.001 is too little for 6 images"),
        ([empty, folder], "exists already"),
        ([tmp_path / "other", empty], "has no file in JPEGImages/"),
    ):
        assert shrink_data.main([str(flag) for flag in flags]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
