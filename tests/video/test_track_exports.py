"""Exports read back: COCO run lengths, YOLO polygons, a DAVIS folder for the evaluation, mattes with alpha."""

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import clips
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw

from aot_jax.evaluation.splits import load_split
from aot_jax.io.frames import read_frame
from aot_jax.io.masks import read_mask
from aot_jax.io.sources import ImageSource
from aot_jax.io.video_reader import VideoReader
from aot_jax.video.exports import EXPORTS
from aot_jax.video.exports.polygons import outlines

ROOT = Path(__file__).resolve().parents[2]
SIZE = (40, 60)
IDS = (2, 300)


def decode(segmentation):
    """Decode COCO's compressed run lengths."""
    height, width = segmentation["size"]
    lengths, number, shift = [], 0, 0
    for character in segmentation["counts"]:
        piece = ord(character) - 48
        number |= (piece & 31) << shift
        shift += 5
        if not piece & 32:
            if piece & 16:
                number -= 1 << shift
            lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
            number = shift = 0
    flat = np.repeat(np.arange(len(lengths)) % 2, lengths)
    return flat.reshape(width, height).T.astype(bool)


def fill(polygons, size):
    """Rasterise polygons of pixel corners with 8x8 samples per pixel."""
    image = Image.new("1", (size[1] * 8, size[0] * 8))
    for polygon in polygons:
        ImageDraw.Draw(image).polygon([(x * 8, y * 8) for x, y in polygon.tolist()], fill=1)
    return np.asarray(image)[4::8, 4::8]


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_exact_outlines_fill_to_their_mask(mask):
    """Holes are filled, including those connected to the outside only at a corner."""
    wanted = np.zeros_like(mask)
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    for part in range(1, count):
        around = np.pad((parts != part).astype(np.uint8), 1, constant_values=1)
        cv2.floodFill(around, None, (0, 0), 2, flags=4)
        wanted |= (around != 2)[1:-1, 1:-1]
    np.testing.assert_array_equal(fill(outlines(mask, tolerance=0), mask.shape), wanted)


def test_outlines_by_hand():
    mask = np.zeros((6, 8), bool)
    mask[1:4, 1:6], mask[2, 3], mask[5, 7] = True, False, True
    found = outlines(mask)
    assert [sorted(map(tuple, outline.tolist())) for outline in found] == [
        [(1, 1), (1, 4), (6, 1), (6, 4)],
        [(7, 5), (7, 6), (8, 5), (8, 6)],
    ]
    assert outlines(np.zeros((3, 3), bool)) == []
    touching = np.eye(2, dtype=bool)
    assert [len(outline) for outline in outlines(touching)] == [4, 4]


def test_simplified_outlines_are_short_and_close():
    ys, xs = np.mgrid[:200, :300]
    disc = np.hypot(ys - 100, xs - 150) < 80
    (outline,) = outlines(disc)
    assert len(outline) < 0.5 * len(outlines(disc, tolerance=0)[0])
    filled = fill([outline], disc.shape)
    assert (filled & disc).sum() / (filled | disc).sum() > 0.98


@pytest.fixture
def exported(tmp_path):
    """Run every export on a clip of three frames."""
    frames = tmp_path / "clip"
    frames.mkdir()
    masks = np.zeros((3, *SIZE), np.int32)
    masks[0, 5:20, 10:30], masks[1, 6:21, 12:32], masks[1, 30:, 50:] = 2, 2, 300
    for i in range(3):
        Image.fromarray(clips.picture(i, *SIZE)).save(frames / f"f{i}.png")
    source = ImageSource(sorted(frames.iterdir()), "clip")
    for name in EXPORTS:
        with EXPORTS[name](tmp_path / "out", source, IDS) as write:
            for frame, labels in zip(source.frames(), masks, strict=True):
                write(frame, labels)
    return tmp_path / "out", masks


def test_coco(exported):
    out, masks = exported
    content = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["f0.png", "f1.png", "f2.png"]
    assert {(image["height"], image["width"]) for image in content["images"]} == {SIZE}
    assert [category["id"] for category in content["categories"]] == list(IDS)
    rebuilt = np.zeros_like(masks)
    for annotation in content["annotations"]:
        part = decode(annotation["segmentation"])
        rebuilt[annotation["image_id"] - 1][part] = annotation["track_id"]
        assert annotation["area"] == part.sum()
    np.testing.assert_array_equal(rebuilt, masks)
    assert [annotation["bbox"] for annotation in content["annotations"]] == [
        [10, 5, 20, 15],
        [12, 6, 20, 15],
        [50, 30, 10, 10],
    ]
    assert len({annotation["id"] for annotation in content["annotations"]}) == 3


def test_yolo(exported):
    out, masks = exported
    for i in range(3):
        rebuilt = np.zeros(SIZE, np.int32)
        for line in (out / "yolo" / "labels" / f"f{i}.txt").read_text().splitlines():
            number, *points = line.split()
            points = np.array(points, float).reshape(-1, 2)
            assert points.min() >= 0
            assert points.max() <= 1
            rebuilt[fill([points * SIZE[::-1]], SIZE)] = IDS[int(number)]
        np.testing.assert_array_equal(rebuilt, masks[i])
        assert (
            np.abs(read_frame(out / "yolo" / "images" / f"f{i}.jpg").astype(int) - clips.picture(i, *SIZE)).mean() < 4
        )
    assert (out / "yolo" / "data.yaml").read_text() == (
        "train: images\nval: images\nnames:\n  0: object 2\n  1: object 300\n"
    )


def test_davis(exported):
    out, masks = exported
    root = out / "DAVIS"
    assert (root / "ImageSets" / "2017" / "val.txt").read_text() == "clip\n"
    for i in range(3):
        np.testing.assert_array_equal(read_mask(root / "Annotations" / "480p" / "clip" / f"f{i}.png"), masks[i])
        assert read_frame(root / "JPEGImages" / "480p" / "clip" / f"f{i}.jpg").shape == (*SIZE, 3)


def test_a_shorter_video_leaves_nothing_of_a_longer_one(tmp_path):
    for count in (3, 2):
        frames = tmp_path / f"by {count}" / "my  clip"
        frames.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(clips.picture(i, *SIZE)).save(frames / f"f{i}.png")
        source = ImageSource(sorted(frames.iterdir()), frames.name)
        for name in EXPORTS:
            with EXPORTS[name](tmp_path / "out", source, IDS) as write:
                for frame in source.frames():
                    write(frame, np.ones(SIZE, np.int32) * 2)
    written = [path for path in (tmp_path / "out").rglob("f*") if path.is_file()]
    assert sorted({path.stem for path in written}) == ["f0", "f1"]
    assert len(written) == 16  # yolo 4, DAVIS 4, mattes 4, binary 4
    split = load_split("davis17", tmp_path / "out" / "DAVIS")  # a name with blanks is found again
    assert [(sequence.name, len(sequence.frames)) for sequence in split.sequences] == [("my_clip", 2)]


def test_an_export_that_fails_leaves_no_half_json(tmp_path):
    Image.fromarray(clips.picture(0, *SIZE)).save(tmp_path / "f0.png")
    source = ImageSource([tmp_path / "f0.png"], "s")

    def fail():
        with EXPORTS["coco"](tmp_path / "out", source, (1,)) as write:
            write(next(source.frames()), np.ones(SIZE, np.int32))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list((tmp_path / "out").iterdir()) == []


def test_frames_of_a_video_that_coco_names_are_there(tmp_path):
    source = VideoReader(clips.write_clip(tmp_path / "a.mp4", 3, SIZE))
    with EXPORTS["coco"](tmp_path / "out", source, (1,)) as write:
        for frame in source.frames():
            write(frame, np.ones(SIZE, np.int32))
    images = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    assert [clips.number_of(read_frame(tmp_path / "out" / image["file_name"])) for image in images] == [0, 1, 2]


def test_binary(exported):
    out, masks = exported
    assert sorted(path.name for path in (out / "binary").iterdir()) == ["2", "300"]
    for i in IDS:
        for t in range(3):
            with Image.open(out / "binary" / str(i) / f"f{t}.png") as image:
                assert image.mode == "L"
                np.testing.assert_array_equal(np.asarray(image), (masks[t] == i) * 255)


def test_mattes(exported):
    out, masks = exported
    assert sorted(path.name for path in (out / "mattes").iterdir()) == [
        *("cutout", "cutout.mov", "cutout.webm", "matte", "matte.mp4"),
    ]
    shown = [frame.pixels for frame in VideoReader(out / "mattes" / "matte.mp4").frames()]
    assert len(shown) == 3
    for t, labels in enumerate(masks):
        with Image.open(out / "mattes" / "matte" / f"f{t}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), (labels != 0) * 255)
        with Image.open(out / "mattes" / "cutout" / f"f{t}.png") as image:
            cutout = np.asarray(image)
        np.testing.assert_array_equal(cutout[..., 3], (labels != 0) * 255)
        np.testing.assert_array_equal(cutout[..., :3], clips.picture(t, *SIZE) * (labels != 0)[..., None])
        np.testing.assert_array_equal(shown[t].min(axis=-1) > 127, labels != 0)


@pytest.mark.parametrize(("name", "decoder"), [("cutout.webm", "libvpx-vp9"), ("cutout.mov", "prores")])
def test_cutouts_have_alpha(exported, name, decoder):
    out, masks = exported
    path = out / "mattes" / name
    with av.open(str(path)) as container:
        codec = av.CodecContext.create(decoder, "r")  # FFmpeg's native VP9 decoder drops alpha
        found = [frame for packet in container.demux(video=0) if packet.size for frame in codec.decode(packet)]
        found += codec.decode(None)
    assert len(found) == 3
    for t, (frame, labels) in enumerate(zip(found, masks, strict=True)):
        pixels = frame.to_ndarray(format="rgba").astype(int)
        np.testing.assert_array_equal(pixels[..., 3] > 127, labels != 0)
        assert np.abs(pixels[..., :3] - clips.picture(t, *SIZE))[labels != 0].sum() <= 18 * (labels != 0).sum()
    assert VideoReader(path).rate == 24


NAMED_BY_HAND = """
from pathlib import Path
from aot_jax.io.sources import open_source
from aot_jax.video.exports import EXPORTS
source = open_source([next(Path("here").iterdir())])
for name in EXPORTS.keys() - {"mattes", "prores"}:
    with EXPORTS[name](Path("out"), source, (1,)) as write:
        for frame in source.frames():
            write(frame, (frame.pixels[..., 0] > 999).astype(int))
"""


def test_names_that_the_locale_does_not_have_are_exported(tmp_path):
    (tmp_path / "here" / "\u00e9t\u00e9").mkdir(parents=True)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "here" / "\u00e9t\u00e9" / "\u00fc1.png")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", NAMED_BY_HAND]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | ascii_only)
    assert (run.returncode, run.stderr) == (0, "")
    listed = tmp_path / "out" / "DAVIS" / "ImageSets" / "2017" / "val.txt"
    assert listed.read_text(encoding="utf-8") == "\u00e9t\u00e9\n"
    assert json.loads((tmp_path / "out" / "coco.json").read_text())["images"][0]["file_name"] == "\u00fc1.png"
    assert (tmp_path / "out" / "yolo" / "labels" / "\u00fc1.txt").is_file()


def test_an_export_is_replaced_whole(tmp_path, monkeypatch):
    source = ImageSource([write_frame(tmp_path / "0.png")], "a")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "old.png")
    monkeypatch.setattr(Image.Image, "save", lambda self, path, *_, **__: (Path(path).write_bytes(b"half"), 1 / 0))
    for name in ("binary", "davis", "mattes", "yolo"):
        with pytest.raises(ZeroDivisionError), EXPORTS[name](tmp_path / "out", source, (1,)) as write:
            write(next(source.frames()), np.ones((4, 4), np.int32))
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert left == ["0.txt"]  # YOLO's labels, before its image


def write_frame(path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return path
