"""Exports read back: COCO run lengths, YOLO polygons, a DAVIS tree that the evaluation finds."""

import json

import clips
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
from aot_jax.video.exports import EXPORTS, open_export
from aot_jax.video.exports.polygons import outlines
from aot_jax.video.exports.rle import encode, run_lengths

SIZE = (40, 60)
IDS = (2, 300)


def decode(segmentation):
    """Read COCO's compressed run lengths, by the format's description."""
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
    """Rasterise polygons of pixel corners with eight samples a pixel each way."""
    image = Image.new("1", (size[1] * 8, size[0] * 8))
    for polygon in polygons:
        ImageDraw.Draw(image).polygon([(x * 8, y * 8) for x, y in polygon.tolist()], fill=1)
    return np.asarray(image)[4::8, 4::8]


def test_run_lengths_go_down_columns_and_begin_with_zeros():
    assert run_lengths(np.array([[0, 1, 1], [0, 1, 0]])).tolist() == [2, 3, 1]
    assert run_lengths(np.ones((2, 2))).tolist() == [0, 4]
    assert run_lengths(np.zeros((2, 2))).tolist() == [4]


def test_published_encodings():
    """Strings of the COCO API."""
    assert encode(np.array([[0, 1, 1], [0, 1, 0]], bool)) == {"size": [2, 3], "counts": "231"}
    assert encode(np.ones((2, 2), bool))["counts"] == "04"
    assert encode(np.zeros((100, 90), bool))["counts"] == "Xi8"


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))), st.integers(1, 20))
def test_what_is_encoded_is_decoded(mask, factor):
    mask = np.kron(mask, np.ones((factor, 1), bool)).astype(bool)
    np.testing.assert_array_equal(decode(encode(mask)), mask)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_exact_outlines_fill_to_their_mask(mask):
    """What cannot be reached from outside, diagonally neither, is filled."""
    filled = fill(outlines(mask, tolerance=0), mask.shape)
    assert (filled | ~mask).all()
    background = np.pad(~mask, 1, constant_values=True)
    outside = np.zeros_like(background)
    outside[0, 0] = True
    for _ in range(background.size):
        grown = outside.copy()
        for axis in (0, 1):
            for shift in (1, -1):
                grown |= np.roll(outside, shift, axis)
        diagonal = np.roll(np.roll(outside, 1, 0), 1, 1) | np.roll(np.roll(outside, 1, 0), -1, 1)
        diagonal |= np.roll(np.roll(outside, -1, 0), 1, 1) | np.roll(np.roll(outside, -1, 0), -1, 1)
        grown = (grown | diagonal) & background
        if (grown == outside).all():
            break
        outside = grown
    np.testing.assert_array_equal(filled, ~outside[1:-1, 1:-1])


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
    """A clip of three frames through every export."""
    frames = tmp_path / "clip"
    frames.mkdir()
    masks = np.zeros((3, *SIZE), np.int32)
    masks[0, 5:20, 10:30], masks[1, 6:21, 12:32], masks[1, 30:, 50:] = 2, 2, 300
    for i in range(3):
        Image.fromarray(clips.picture(i, *SIZE)).save(frames / f"f{i}.png")
    source = ImageSource(sorted(frames.iterdir()), "clip")
    for name in EXPORTS:
        with open_export(name, tmp_path / "out", source, IDS) as sink:
            for frame, labels in zip(source.frames(), masks, strict=True):
                sink.add(frame.index, frame.pixels, labels)
    return tmp_path / "out", masks


def test_coco(exported):
    out, masks = exported
    content = json.loads((out / "coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["f0.jpg", "f1.jpg", "f2.jpg"]
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
            with open_export(name, tmp_path / "out", source, IDS) as sink:
                for frame in source.frames():
                    sink.add(frame.index, frame.pixels, np.ones(SIZE, np.int32) * 2)
    written = [path for path in (tmp_path / "out").rglob("f*") if path.is_file()]
    assert sorted({path.stem for path in written}) == ["f0", "f1"]
    assert len(written) == 8
    split = load_split("davis17", tmp_path / "out" / "DAVIS")  # a name with blanks is found again
    assert [(sequence.name, len(sequence.frames)) for sequence in split.sequences] == [("my_clip", 2)]


def test_an_export_that_fails_leaves_no_half_json(tmp_path):
    source = type("S", (), {"name": "s", "label": staticmethod(str)})()

    def fail():
        with open_export("coco", tmp_path, source, (1,)) as sink:
            sink.add(0, None, np.ones((2, 2), np.int32))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
