"""Figures: the command, from a checkpoint and a video to PNG and SVG; the bank's similarities."""

import importlib.util
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.checkpoint import save_params
from aot_jax.figures import __main__ as command
from aot_jax.figures import page, strips
from aot_jax.figures.__main__ import main
from aot_jax.figures.attention import Carried, Maps
from aot_jax.figures.bank import bank_similarity
from aot_jax.figures.page import FigureError
from aot_jax.figures.strips import choose_times
from aot_jax.figures.video import FRAMES, load_video
from aot_jax.io.masks import write_mask

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
SIZE = (33, 49)
COUNT = 4


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(page, "RESOLUTION", 50)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model = tiny.load("aost", "model.depth=2")
    path = tmp_path_factory.mktemp("run") / "weights"
    save_params(path, model.params, model.config, source={})
    return path.parent


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    for t, frame in enumerate(tiny.frames(COUNT, *SIZE)):
        Image.fromarray(frame).save(folder / f"{t:05d}.png")
    write_mask(folder / "masks" / "00000.png", tiny.mask(*SIZE, (1, 5)))
    return folder


def drawn(output):
    """Check that both files are pictures; returns the PNG's pixels."""
    assert ElementTree.parse(output.with_suffix(".svg")).getroot().tag.endswith("svg")
    with Image.open(output.with_suffix(".png")) as image:
        return np.array(image.convert("RGB"))


@needs_matplotlib
def test_banks_of_several_checkpoints(checkpoint, tmp_path, capsys):
    output = tmp_path / "new" / "bank.png"
    assert main(["bank", "--checkpoint", str(checkpoint), str(checkpoint / "weights"), "--output", str(output)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [f"network: aost, {checkpoint / 'weights'} (--checkpoint)"] * 2
    assert said[2:] == [f"wrote {output}", f"wrote {output.with_suffix('.svg')}"]
    height, width = drawn(output).shape[:2]
    assert width > 1.5 * height  # two side by side


@needs_matplotlib
def test_attention_maps_of_a_video(checkpoint, video, tmp_path, monkeypatch):
    asked = {}

    def carried_masks(model, frames, mask, depth, gap):
        frames = list(frames)
        asked.update(count=len(frames), ids=np.unique(mask).tolist(), depth=depth, gap=gap)
        shares = np.full((1, 3, 4, 11), 1 / 11, np.float32)
        shown = {t: frames[t] for t in (0, 2, 3)}
        return Maps([Carried(shares, shares)] * 2, shown, dict.fromkeys(shown, mask), [0, 2])

    monkeypatch.setattr(command, "carried_masks", carried_masks)
    flags = [
        "--mask",
        str(video / "masks" / "00000.png"),
        "--checkpoint",
        str(checkpoint),
        "--depth",
        "2",
        "--gap",
        "1",
    ]
    assert main(["attention", str(video), *flags, "--frame", "3", "--output", str(tmp_path / "maps")]) == 0
    assert asked == {"count": 4, "ids": [0, 1, 5], "depth": 2, "gap": 1}
    texts = (tmp_path / "maps.svg").read_text()
    wanted = ["frame 0, reference", "frame 2", "frame 3, predicted", "long-term memory: frames 0, 2"]
    wanted += [f"{term}-term, l = {layer}" for term in ("short", "long") for layer in (1, 2)]
    assert [text for text in wanted if text not in texts] == []
    assert drawn(tmp_path / "maps").std() > 10


@needs_matplotlib
def test_strips_of_depths_and_of_folders(checkpoint, video, tmp_path, monkeypatch):
    class Still:
        """A tracker that returns the first mask for every frame."""

        def __init__(self, model, depth):
            self.depth = depth

        def step(self, frame, mask):
            self.mask = self.mask if mask is None else mask
            return self.mask

    monkeypatch.setattr(strips, "Tracker", Still)
    for name, ids in (("00000", (1, 5)), ("00002", (5, 1))):
        write_mask(tmp_path / "other" / f"{name}.png", tiny.mask(*SIZE, ids))
    flags = ["--mask", str(video / "masks" / "00000.png"), "--checkpoint", str(checkpoint), "--depth", "1", "2"]
    flags += ["--masks", str(tmp_path / "other"), f"a title={tmp_path / 'other'}", "--times", "0", "2"]
    assert main(["strips", str(video), *flags, "--output", str(tmp_path / "strips")]) == 0
    texts = (tmp_path / "strips.svg").read_text()
    wanted = ("other", "a title", "aost, L' = 1", "aost, L' = 2", "reference", "frame 2")
    assert [text for text in wanted if text not in texts] == []
    assert drawn(tmp_path / "strips").std() > 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["strips", "VIDEO"], "VIDEO: the mask of its first frame is missing; give --mask FIRST.png"),
        (["strips", "--mask", "a.png"], "--mask a.png is given without a video: name the video that it belongs to"),
        (["attention", "--frame", "0"], "--frame is 0: attention reads a memory, which frame 1 is the first to have"),
        (["attention", "--gap", "-1"], "--gap is -1: it is a number of frames, or 0 for the first frame alone"),
        (["bank", "--checkpoint", "VIDEO"], "no checkpoint at VIDEO"),
        (["bank", "--config", "aosst"], "no config at aosst: did you mean aost"),
        (["strips", "VIDEO", "--mask", "MASK", "--times", "9"], "VIDEO: frame 9 is wanted, but there are 4"),
        (
            ["strips", "VIDEO", "--mask", "MASK", "--masks", "a/x", "b/x"],
            "--masks: x is the title of two rows; write TITLE=DIR to tell them apart",
        ),
        (["strips", "VIDEO", "--mask", "MASK", "--times", "-1"], "--times -1: frames are numbered from 0"),
        (
            ["attention", "VIDEO", "--mask", "MASK", "--checkpoint", "RUN", "--depth", "3"],
            "depth is 3, but this network runs at",
        ),
        (
            ["attention", "VIDEO", "--mask", "EMPTY", "--checkpoint", "RUN"],
            "the first mask has no object, every pixel is 0",
        ),
    ],
)
def test_what_cannot_be_drawn(flags, message, checkpoint, video, tmp_path, capsys):
    write_mask(tmp_path / "empty.png", np.zeros(SIZE, int))
    names = {"VIDEO": video, "MASK": video / "masks" / "00000.png", "EMPTY": tmp_path / "empty.png", "RUN": checkpoint}
    output = tmp_path / "figure"
    assert main([*(str(names.get(flag, flag)) for flag in flags), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + message.replace("VIDEO", str(video)))
    assert not output.with_suffix(".png").exists()


@needs_matplotlib
def test_a_page_that_cannot_be_written(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["bank", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "file" / "bank")]) == 2
    error = capsys.readouterr().err
    assert f"error: {tmp_path / 'file' / 'bank'}: cannot be written (" in error
    assert "name another place with --output" in error


def test_what_to_install(checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["bank", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "bank")]) == 2
    assert "pip install -r requirements-figures.txt" in capsys.readouterr().err


def test_similarity_is_that_of_what_whole_patches_embed():
    kernel = np.zeros((2, 1, 4, 2), np.float32)  # side, side, M + 1, c
    kernel[:, 0, 0] = 9  # background
    kernel[0, 0, 1], kernel[1, 0, 1] = (1, 2), (2, -2)  # (3, 0)
    kernel[0, 0, 2] = (0, 5)
    kernel[0, 0, 3] = (-1, 1)
    half = np.sqrt(0.5)
    want = [[1, 0, -half], [0, 1, half], [-half, half, 1]]
    np.testing.assert_allclose(bank_similarity({"identity_bank": {"kernel": kernel}}), want, atol=1e-12)


def test_times_spread_over_the_video():
    assert choose_times([], 21) == [0, 5, 10, 15, 20]
    assert choose_times([], 3) == [0, 1, 2]
    assert choose_times([7, 2], None) == [7, 2]
    with pytest.raises(FigureError, match="does not say how many frames it has: name those to show with --times"):
        choose_times([], None)


def test_the_video_without_a_video():
    video = load_video([], None)
    assert video.count == FRAMES
    assert np.unique(video.mask).tolist() == [0, 1, 2, 3]
    first, second = ([*video.frames(2)] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first[0].shape == (*video.mask.shape, 3)
    with pytest.raises(FigureError, match="frame 20 is wanted, but there are 20, numbered from 0"):
        list(video.frames(21))
