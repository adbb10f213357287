"""Outputs of a run: pictures of frames and masks, lines of figures, nothing from a quiet process."""

import json

import numpy as np
import pytest
from PIL import Image

from aot_jax.io.overlay import draw_overlay
from aot_jax.training.report import Report


@pytest.fixture
def clip():
    """Return two frames (t, h, w, 3), true and predicted masks (t, h, w); object 1 moves, the prediction lags."""
    images = np.full((2, 32, 48, 3), 90, np.uint8)
    masks, labels = np.zeros((2, 32, 48), np.uint8), np.zeros((2, 32, 48), np.int32)
    masks[0, 8:24, 4:20] = labels[:, 8:24, 4:20] = masks[1, 8:24, 24:40] = 1
    return images, masks, labels


def test_a_picture_has_a_row_of_frames_and_one_of_each_kind_of_mask(tmp_path, clip):
    with Report(tmp_path / "run", steps=9, start=0) as report:
        report.picture(7, *clip)
    picture = np.asarray(Image.open(tmp_path / "run" / "pictures" / "0000007.jpg")).astype(int)
    assert picture.shape == (3 * 32, 2 * 48, 3)
    images, masks, labels = clip
    for row, ids in enumerate((0 * masks, masks, labels)):
        for t in range(2):
            drawn = draw_overlay(images[t], ids[t], ids=False)
            found = picture[32 * row : 32 * (row + 1), 48 * t : 48 * (t + 1)]
            assert np.abs(found - drawn).mean() < 5  # JPEG; a mask in another place differs by 20 or more


def test_figures_are_a_line_of_json_with_null_for_what_is_not_finite(tmp_path):
    with Report(tmp_path, steps=9, start=0) as report:
        report.figures(3, {"loss": np.float32(0.5), "J": np.nan, "losses": np.array([[1.0, 2.0]])})
    (line,) = (tmp_path / "figures.jsonl").read_text().splitlines()
    want = {"step": 3, "loss": 0.5, "J": None, "losses/frame0/depth1": 1.0, "losses/frame0/depth2": 2.0}
    assert json.loads(line) == want


def test_a_quiet_report_writes_nothing(tmp_path, clip):
    with Report(tmp_path / "run", steps=9, start=0, quiet=True) as report:
        report.advance(0.5, 0.1)
        report.figures(3, {"loss": 0.5})
        report.picture(3, *clip)
    assert not (tmp_path / "run").exists()
