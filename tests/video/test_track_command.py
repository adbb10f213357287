"""track.py on the command line: results, one-line errors, arbitrary bytes as input."""

import os
from pathlib import Path

import clips
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from painter import COUNT, SIZE, run, upright_masks
from PIL import Image

from aot_jax import network
from aot_jax.checkpoint import save_params
from aot_jax.config import load_config
from aot_jax.evaluation.splits import load_split
from aot_jax.io.masks import DAVIS_PALETTE, read_mask, write_mask
from aot_jax.io.video_reader import VideoReader
from aot_jax.network import make_model

SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=2", "model.encoder=tiny")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = load_config("configs/aost.py", [*SMALL, "memory.gap=2"])
    path = tmp_path_factory.mktemp("checkpoints") / "small"
    save_params(path, tiny.draw(make_model(config)), config)
    return path


def test_a_video_from_mask_to_overlay_and_exports(clip, mask, checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    mask = mask.rename(tmp_path / "00003.png")
    flags = ("--mask", mask, "--checkpoint", checkpoint, "--depth", 1, "--save_every", 2)
    exports = ("--export", "coco", "--export", "yolo", "--export", "davis")
    assert run(clip, out, *flags, *exports) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"masks: {out}/masks", f"overlay: {out}/overlay.mp4"]
    assert printed.err == ""
    assert sorted(path.name for path in out.iterdir()) == [
        "DAVIS", "coco.json", "coco_images", "masks", "overlay.mp4", "progress.json", "yolo",
    ]  # fmt: skip
    files = sorted((out / "masks").iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(COUNT)]
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("P", SIZE)
            assert image.getpalette()[:9] == DAVIS_PALETTE[:3].ravel().tolist()
        assert set(np.unique(read_mask(file))) <= {0, 1, 5}
    np.testing.assert_array_equal(read_mask(files[3]), read_mask(mask))
    overlay = VideoReader(out / "overlay.mp4")
    assert (overlay.size, overlay.rate) == (SIZE[::-1], 24)
    for drawn, frame, file in zip(overlay.frames(), VideoReader(clip).frames(), files, strict=True):
        background = read_mask(file) == 0
        assert drawn.time == frame.time
        if background.any():
            assert np.abs(drawn.pixels.astype(int) - frame.pixels)[background].mean() < 8
    assert clips.sound_of(out / "overlay.mp4")[0] == "aac"
    split = load_split("davis17", out / "DAVIS")
    assert [sequence.name for sequence in split.sequences] == ["clip"]

    assert run(clip, out, *flags, *exports) == 2
    assert "holds something already: continue it with --resume" in capsys.readouterr().err
    assert run(clip, out, *flags, "--resume") == 0
    assert run(clip, out, *flags, "--resume", "--max_frames", 3) == 2
    assert "max_frames: 50 there, 3 now" in capsys.readouterr().err


def test_without_a_checkpoint_it_is_said_how_to_get_one(clip, mask, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(clip, tmp_path / "out", "--mask", mask) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: no checkpoint at checkpoints/aost_r50")
    for way in ("python train.py --config", "python -m aot_jax.convert", "--checkpoint", "--random_weights"):
        assert way in message
    assert not (tmp_path / "out").exists()
    assert run(clip, tmp_path / "out", "--mask", mask, "--checkpoint", tmp_path) == 2
    assert f"error: no checkpoint at {tmp_path}" in capsys.readouterr().err


def test_images_keep_their_names_and_take_a_rate(painter, tmp_path):
    frames = tmp_path / "walk"
    frames.mkdir()
    for i in (9, 10, 11):
        Image.fromarray(clips.picture(i, *SIZE)).save(frames / f"shot_{i}.jpg")
    out = tmp_path / "out"
    assert run(frames / "*.jpg", out, "--box", "2,2,20,20", "--random_weights", "--fps", 10) == 0
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["shot_10.png", "shot_11.png", "shot_9.png"]
    assert VideoReader(out / "overlay.mp4").rate == 10
    assert read_mask(out / "masks" / "shot_10.png").sum() == 18 * 18


def test_the_overlay_shows_each_mask_on_its_frame(painter, tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 4, (64, 64), times=[0, 0.04, 0.5, 0.54], options={"crf": "1"})
    out, warnings = tmp_path / "out", []
    for i, side in ((0, 8), (2, 48)):
        labels = np.zeros((64, 64), int)
        labels[4 : 4 + side, 4 : 4 + side] = 4  # blue in the palette
        write_mask(tmp_path / "given" / f"{i:05d}.png", labels)
    assert run(path, out, "--mask", tmp_path / "given", "--random_weights") == 0
    shown = list(VideoReader(out / "overlay.mp4", warnings.append).frames())
    np.testing.assert_allclose([float(frame.time) for frame in shown], [0, 0.04, 0.5, 0.54], atol=1e-3)
    blue = [(f.pixels[..., 2].astype(int) - f.pixels[..., 1] > 25)[40:50, 40:50].all() for f in shown]
    assert blue == [False, False, True, True]


def test_a_variable_rate_is_told_once(painter, mask, tmp_path, capsys):
    path = clips.write_clip(tmp_path / "a.mp4", 4, SIZE[::-1], times=[0, 0.05, 0.5, 0.55])
    assert run(path, tmp_path / "out", "--mask", mask, "--random_weights") == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: a: its frame rate varies, from 2.222 to 20 a second: masks are numbered by frame, and the overlay "
        "shows each frame at its own time"
    ]


def test_a_truncated_video_is_told_once_and_tracked_as_far_as_it_goes(painter, tmp_path, capsys):
    path = clips.write_clip(tmp_path / "a.webm", 36, (64, 64), codec="libvpx-vp9")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    out = tmp_path / "out"
    assert run(path, out, "--box", "1,1,9,9", "--random_weights") == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {path}: breaks off at ")
    assert len(upright_masks(out)) == VideoReader(out / "overlay.mp4").expected


def test_frames_of_one_pixel(painter, tmp_path):
    frames = tmp_path / "dot"
    frames.mkdir()
    for i in range(3):
        Image.fromarray(np.full((1, 1, 3), 90 * i, np.uint8)).save(frames / f"{i}.png")
    write_mask(tmp_path / "m.png", np.ones((1, 1), int))
    assert run(frames, tmp_path / "out", "--mask", tmp_path / "m.png", "--random_weights", "--export", "yolo") == 0
    assert VideoReader(tmp_path / "out" / "overlay.mp4").size == (2, 2)


def test_masks_may_be_smaller_than_frames(painter, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(painter, "step", lambda self, frame, mask=None: tiny.mask(24, 16, (1,)))
    out = tmp_path / "out"
    flags = ("--box", "1,1,20,20", "--random_weights", "--output_height", 24, "--export", "davis")
    assert run(clip, out, *flags) == 0
    assert upright_masks(out)[0].shape == (24, 16)
    assert VideoReader(out / "overlay.mp4").size == SIZE[::-1]
    with Image.open(out / "DAVIS/JPEGImages/480p/clip/00000.jpg") as image:
        assert image.size == (16, 24)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "error: which objects? Give their mask on a frame, --mask MASK.png, or a box"),
        (("--mask", "none.png"), "error: none.png: no such file"),
        (("--mask", "empty.png"), "error: empty.png: has no object"),
        (("--mask", "other.png"), "error: other.png: the mask is 48x32, but 32x48 (width x height) is needed"),
        (("--mask", "00099.png"), "error: the first mask is for frame 99, but clip has only 6 frames"),
        (("--box", "1,2,3"), "error: --box 1,2,3: a box is x0,y0,x1,y1"),
        (("--box", "0,0,9,9", "--output", "file"), "error: "),
        (("--box", "0,0,9,9", "--config", "aost_r51"), "error: no config at aost_r51: did you mean aost_r50"),
    ],
)
def test_refusals_are_one_line(painter, clip, mask, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    mask.rename("00099.png")
    Path("file").write_text("")
    write_mask("empty.png", np.zeros(SIZE[::-1], int))
    write_mask("other.png", tiny.mask(*SIZE, (1,)))
    assert run(clip, "out", "--random_weights", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_a_folder_that_cannot_be_written_is_told_before_the_network_is_loaded(
    painter, clip, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(network.FoundNetwork, "load", lambda *_: pytest.fail("loaded"))
    (tmp_path / "file").write_text("")
    assert run(clip, tmp_path / "file" / "out", "--box", "0,0,9,9", "--random_weights") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/file/out: results cannot be written there (Not a directory); choose another --output\n"
    )


@pytest.mark.parametrize("given", ["frames", "video", "masks", "mask"])
def test_what_is_given_is_never_written_over(painter, tmp_path, capsys, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    clips.write_clip(Path("clip.mp4"), COUNT, SIZE)
    write_mask("mask.png", tiny.mask(*SIZE, (1,)))
    assert run("clip.mp4", "out", "--mask", "mask.png", "--random_weights") == 0
    flags = {
        "frames": ("out/masks", "out/masks", "--mask", "mask.png"),
        "video": ("out/overlay.mp4", "out", "--mask", "mask.png"),
        "masks": ("clip.mp4", "out", "--mask", "out/masks"),
        "mask": ("clip.mp4", "link", "--mask", "out/masks/00000.png"),
    }[given]
    Path("link").symlink_to("out")
    before = {path: path.read_bytes() for path in Path().rglob("*.*")}
    capsys.readouterr()
    assert run(*flags, "--overwrite", "--random_weights") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {flags[1]}: results would be written over or among the given out/")
    assert {path: path.read_bytes() for path in Path().rglob("*.*")} == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["0.png", "1.png", "2.jpg", "10.jpeg", "a.mp4", ".hidden.png"]),
        st.one_of(st.binary(max_size=60), st.sampled_from(["png", "jpg", "cut", "one"])),
        max_size=4,
    ),
    st.one_of(st.binary(max_size=60), st.sampled_from(["png", "cut", "one"])),
)
def test_no_traceback_for_any_folder_and_mask(painter, tmp_path, capsys, files, given_mask):
    folder = tmp_path / f"fuzz_{os.urandom(6).hex()}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else image_bytes(tmp_path, content))
    mask = folder.with_suffix(".png")
    mask.write_bytes(given_mask if isinstance(given_mask, bytes) else image_bytes(tmp_path, given_mask))
    code = run(folder, folder / "out", "--mask", mask, "--random_weights", "--no_overlay")
    message = capsys.readouterr().err
    assert code in (0, 2)
    assert message.startswith("error: " if code else "") or message.startswith("warning: ")
    assert "Traceback" not in message


def image_bytes(folder, kind):
    """Draw an image of the test's size, half of its bytes, or an image of one pixel."""
    path = folder / f"whole.{'jpg' if kind == 'jpg' else 'png'}"
    pixels = tiny.mask(*((1, 1) if kind == "one" else SIZE), (1, 2)).astype(np.uint8) * 90
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    return data[: len(data) // 2] if kind == "cut" else data
