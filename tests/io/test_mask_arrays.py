"""Masks in NumPy files, stacks and animations."""

import re

import numpy as np
import pytest
from drawn import BLUE, RED, SIZE, boxes, one, scene
from PIL import Image

from aot_jax import read_masks
from aot_jax.io.masks import MaskError


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_arrays_of_ids(tmp_path, dtype):
    labels = boxes(1) if dtype is bool else boxes(1, 3)
    np.save(tmp_path / "m.npy", labels.astype(dtype))
    np.testing.assert_array_equal(one(tmp_path / "m.npy")[0], labels)


def test_arrays_of_other_kinds(tmp_path, frames):
    path = tmp_path / "m.npy"
    np.save(path, (boxes(1) * 255).astype(np.uint8)[None])
    np.testing.assert_array_equal(one(path)[0], boxes(1))
    np.save(path, boxes(1) * np.float32(0.8) + np.float32(0.1))
    found, masks = one(path)
    np.testing.assert_array_equal(found, boxes(1))
    assert masks.notes == (f"{path}: probabilities are cut at 0.5",)
    layers = np.stack([boxes(1, 0) > 0, boxes(0, 1) > 0])
    np.save(path, layers)
    found, masks = one(path, frames)
    np.testing.assert_array_equal(found, boxes(1, 2))
    assert "2 layers are taken for objects 1 to 2" in masks.notes[0]
    np.save(path, np.stack([boxes(7), boxes(0), boxes(0, 7), boxes(7, 9)]))
    masks = read_masks(path, frames)
    assert (list(masks), masks.ids) == ([f"{t:05d}" for t in range(4)], (7, 9))
    np.testing.assert_array_equal(masks[2], boxes(0, 7))


def test_arrays_that_are_no_masks(tmp_path):
    path = tmp_path / "m.npy"
    for array, finding in (
        (np.array([{}], object), "holds pickled Python objects"),
        (np.zeros((2, 3, 4, 5)), r"shape \(2, 3, 4, 5\)"),
        (np.zeros(7), r"shape \(7,\)"),
        (np.array([[-1, 2]]), "ids from -1 to 2"),
        (np.array([[0.5, 7]]), "holds fractions"),
        (np.array([[np.nan, 7]]), "NaN"),
        (np.arange(300).reshape(3, 10, 10), "3 layers that are neither"),
        (np.array([["a"]]), "values of type"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(MaskError, match=rf"^{re.escape(str(path))}: .*{finding}"):
            one(path)
    whole = path.read_bytes()
    np.save(path, np.zeros((1 << 14, 1 << 14), np.uint8)[:1])
    header = path.read_bytes()[:128].replace(b"(1, 16384)", b"(9999, 99)")
    for content in (whole[:40], b"", b"\x93NUMPY\x01\x00", header):
        path.write_bytes(content)
        with pytest.raises(MaskError, match="cannot be read"):
            one(path)


def test_a_tiff_of_floats(tmp_path):
    Image.fromarray(boxes(2, 7).astype(np.float32)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(one(tmp_path / "m.tif")[0], boxes(2, 7))
    Image.fromarray(boxes(2).astype(np.float32) / 4).save(tmp_path / "m.tif")
    found, masks = one(tmp_path / "m.tif")
    np.testing.assert_array_equal(found, boxes(1))  # as in .npy
    assert masks.notes == (f"{tmp_path}/m.tif: probabilities are cut at 0.5",)
    Image.fromarray(boxes(9).astype(np.float32) / 4).save(tmp_path / "m.tif")
    with pytest.raises(MaskError, match=r"m\.tif: holds fractions"):
        one(tmp_path / "m.tif")


@pytest.mark.parametrize("store", ["png", "tif", "npy", "float"])
def test_grey_levels_of_other_types_are_read_as_those_of_8_bits(tmp_path, store):
    ids = scene()
    soft = np.asarray(Image.fromarray(ids * np.uint8(127)).resize((256, 192)).resize(SIZE[::-1]))
    hard = np.array([0, 128, 255], np.uint8)[ids]
    white = np.asarray(Image.fromarray((ids > 0) * np.uint8(255)).resize((256, 192), Image.BILINEAR).resize(SIZE[::-1]))
    assert len(np.unique(soft)) > 5 < len(np.unique(white))
    for levels, expected in ((hard, ids), (white, ids > 0)):
        if store == "npy":
            np.save(path := tmp_path / "m.npy", levels)
        elif store == "float":
            np.save(path := tmp_path / "m.npy", levels.astype(np.float32))
        else:
            Image.fromarray(levels.astype(np.uint16) * 257).save(path := tmp_path / f"m.{store}")
        found, masks = one(path)
        assert (found == expected).mean() > 0.99
        assert masks.ids == tuple(range(1, expected.max() + 1))
        assert len(masks.notes) == 1


def test_16_bit_ids_beside_65535_stay(tmp_path):
    for ids in ((1, 65535), (300, 4000, 65535)):
        Image.fromarray(boxes(*ids).astype(np.uint16)).save(tmp_path / "m.png")
        np.testing.assert_array_equal(one(tmp_path / "m.png")[0], boxes(*ids))


def test_axes_of_length_1_and_layers_last(tmp_path):
    layers = np.stack([scene() == i for i in range(3)])
    for array in (layers[None], layers[:, None, None], layers[None, ..., None], np.moveaxis(layers, 0, 2)):
        np.save(tmp_path / "m.npy", array)
        np.testing.assert_array_equal(one(tmp_path / "m.npy")[0], scene())


def test_a_stack_of_pages(tmp_path, frames):
    pages = [Image.fromarray(boxes(*ids).astype(np.uint8)) for ids in ((5,), (5, 6), (0, 6), (6,))]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    masks = read_masks(tmp_path / "m.tif", frames)
    assert (masks.ids, len(masks)) == ((5, 6), 4)
    np.testing.assert_array_equal(masks[1], boxes(5, 6))


def test_one_array_of_an_npz(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", a=boxes(2))
    np.testing.assert_array_equal(one(tmp_path / "m.npz")[0], boxes(2))
    np.savez_compressed(tmp_path / "m.npz", a=boxes(2), b=boxes(2))
    with pytest.raises(MaskError, match="holds 2 arrays, a, b; save one"):
        one(tmp_path / "m.npz")


def test_what_is_guessed_of_an_array_is_told_beside_frames_too(tmp_path, frames):
    np.save(tmp_path / "m.npy", boxes(1) * np.float32(0.9))
    assert one(tmp_path / "m.npy", frames)[1].notes == (f"{tmp_path / 'm.npy'}: probabilities are cut at 0.5",)


def test_layers_may_come_last_and_be_probabilities(tmp_path, frames):
    layers = np.stack([boxes(1, 0) * 0.9 + 0.05, boxes(0, 1) * 0.8 + 0.1])
    layers[0, 0, 0] = 0.4
    for array in (layers, np.moveaxis(layers, 0, 2)):
        np.save(tmp_path / "m.npy", array)
        found, masks = one(tmp_path / "m.npy", frames)
        np.testing.assert_array_equal(found, boxes(1, 2))
        assert any("2 layers are taken for objects 1 to 2" in note for note in masks.notes)
        assert any("probabilities are cut at 0.5" in note for note in masks.notes)
    np.save(tmp_path / "m.npy", (boxes(1) > 0)[None, None])  # as segment-anything returns it
    found, masks = one(tmp_path / "m.npy", frames)
    np.testing.assert_array_equal(found, boxes(1))
    assert masks.notes == ()


def test_an_array_of_colours(tmp_path, frames):
    colours = np.array([(0, 0, 0), BLUE, RED], np.uint8)
    np.save(tmp_path / "m.npy", colours[boxes(1, 2)])
    np.testing.assert_array_equal(one(tmp_path / "m.npy", frames)[0], boxes(1, 2))


@pytest.mark.parametrize("kind", ["png", "gif", "webp"])
def test_an_animation_of_masks(tmp_path, frames, kind):
    shown = [boxes(1), boxes(1, 2), boxes(0, 2), boxes(2)]
    colours = np.array([(0, 0, 0), RED, BLUE], np.uint8)
    pictures = [Image.fromarray(colours[labels]) for labels in shown]
    options = {"lossless": True} if kind == "webp" else {}
    path = tmp_path / f"m.{kind}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, **options)
    masks = read_masks(path, frames)
    assert masks.ids == (1, 2)
    for t, labels in enumerate(shown):
        np.testing.assert_array_equal(masks[t], labels)
    pictures[0].save(path, save_all=True, append_images=pictures[1:2], duration=100, **options)
    with pytest.raises(MaskError, match=r"holds 2 pictures in colour, and the video has 4 frames"):
        read_masks(path, frames)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", ["bool", "0/255", "one-hot floats", "softmax"])
def test_layers_that_add_up_to_1_begin_with_background(tmp_path, frames, kind, last):
    labels = boxes(1, 2)
    layers = np.stack([labels == i for i in range(3)], axis=-1 if last else 0)
    array = {
        "bool": layers,
        "0/255": layers.astype(np.uint16) * 255,
        "one-hot floats": layers.astype(np.float32),
        "softmax": np.where(layers, 0.4, 0.3).astype(np.float16),
    }[kind]
    np.save(tmp_path / "m.npy", array)
    found, masks = one(tmp_path / "m.npy", frames)
    np.testing.assert_array_equal(found, labels)
    assert "its 3 layers add up to 1: background, then objects 1 to 2" in masks.notes[0]


def test_objects_that_fill_the_image_are_no_background(tmp_path, frames):
    left = np.zeros(boxes().shape, bool)
    left[:, :32] = True
    np.save(tmp_path / "m.npy", np.stack([left, ~left]))
    np.testing.assert_array_equal(one(tmp_path / "m.npy", frames)[0], np.where(left, 1, 2))
