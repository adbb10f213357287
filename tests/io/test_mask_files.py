"""Masks in image files of other kinds, and in several files a frame."""

from unicodedata import normalize

import numpy as np
import pytest
from drawn import boxes, one
from PIL import Image

from aot_jax import read_masks
from aot_jax.io.datasets import list_folders
from aot_jax.io.masks import DAVIS_PALETTE, MaskError, write_mask


@pytest.mark.parametrize("kind", ["tif", "bmp", "webp"])
def test_images_of_other_kinds(tmp_path, kind):
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(boxes(1, 2).astype(np.uint8) * np.uint8(90 if kind == "webp" else 1)).save(
        tmp_path / f"m.{kind}", **options
    )
    found = one(tmp_path / f"m.{kind}")[0]
    np.testing.assert_array_equal(found, boxes(90, 180) if kind == "webp" else boxes(1, 2))


def test_one_file_an_object(tmp_path, frames):
    folder = tmp_path / "objects"
    folder.mkdir()
    for name, labels in (("object_2", boxes(0, 1)), ("object_7", boxes(1))):
        Image.fromarray((labels * 255).astype(np.uint8)).save(folder / f"{name}.png")
    for given in (folder, sorted(folder.iterdir())):
        found, masks = one(given, frames)
        np.testing.assert_array_equal(found, boxes(7, 2))
        assert masks.ids == (2, 7)
        assert (
            "2 masks are taken for one object each, on frame 0, the last on top: object_2.png is 2, object_7.png is 7"
            in masks.notes[0]
        )
    (folder / "object_2.png").rename(folder / "train.png")  # not a list of names
    (folder / "object_7.png").rename(folder / "cat.png")
    np.testing.assert_array_equal(one(folder, frames)[0], boxes(1, 2))
    write_mask(folder / "cat.png", boxes(1, 2))
    with pytest.raises(MaskError, match=r"named like its frame, as in 00000\.png, or shows one object"):
        read_masks(folder, frames)


def test_objects_with_short_numbers_are_on_the_frame_that_is_named(tmp_path, frames):
    numbered = read_masks(_objects(tmp_path / "a", "1.png", "2.png"), frames)
    assert list(numbered) == ["00001", "00002"]
    (found,) = (masks := read_masks(tmp_path / "a", frames, frame=3)).values()
    assert list(masks) == ["00003"]
    np.testing.assert_array_equal(found, boxes(1, 2))
    with pytest.raises(MaskError, match="--mask_frame goes with one mask"):
        read_masks(_objects(tmp_path / "b", "00001.png", "00002.png"), frames, frame=3)


def _objects(folder, *names):
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray((boxes(*[0] * number, 1) * 255).astype(np.uint8)).save(folder / name)
    return folder


def test_folders_that_systems_add_hold_no_masks_and_no_videos(tmp_path, frames):
    write_mask(tmp_path / "set" / "masks" / "00000.png", boxes(3, 4))
    for name in ("__MACOSX", ".ipynb_checkpoints"):
        (tmp_path / "set" / name / "masks").mkdir(parents=True)
        (tmp_path / "set" / name / "masks" / "._00000.png").write_bytes(b"resource fork")
    assert read_masks(tmp_path / "set", frames).ids == (3, 4)
    assert list_folders(tmp_path / "set") == ["masks"]


def test_a_results_folder_holds_its_masks(tmp_path, frames):
    write_mask(tmp_path / "out" / "masks" / "00000.png", boxes(3, 4))
    (tmp_path / "out" / "progress.json").write_text("{}")
    assert read_masks(tmp_path / "out", frames).ids == (3, 4)
    (tmp_path / "mattes" / "cutout").mkdir(parents=True)
    _objects(tmp_path / "mattes" / "matte", "00000.png")
    Image.fromarray(np.zeros((*boxes().shape, 4), np.uint8)).save(tmp_path / "mattes" / "cutout" / "00000.png")
    masks = read_masks(tmp_path / "mattes", frames)
    assert (masks.ids, masks.notes) == ((1,), ())


@pytest.mark.parametrize(
    "name",
    [
        "{object}/{frame:05d}.png",
        "{frame:05d}/cat_{object}.png",
        "{frame:05d}_{object}.png",
        "o{object}f{frame:05d}.png",
    ],
)
def test_one_file_for_each_object_of_each_frame(tmp_path, frames, name):
    shown = {(4, 0): boxes(1), (9, 0): boxes(0, 1), (9, 3): boxes(0, 1)}
    for (number, frame), labels in shown.items():
        path = tmp_path / "masks" / name.format(object=number, frame=frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((labels * 255).astype(np.uint8)).save(path)
    masks = read_masks(tmp_path / "masks", frames)
    assert (masks.ids, list(masks)) == ((4, 9), ["00000", "00003"])
    np.testing.assert_array_equal(masks[0], boxes(4, 9))
    np.testing.assert_array_equal(masks[3], boxes(0, 9))
    assert "a mask for each object: this is object" in masks.notes[0]


def test_videos_and_archives_are_named_with_a_remedy(tmp_path, frames):
    for name, remedy in (("m.mp4", r"is a video; .* ffmpeg -i m\.mp4"), ("m.ZIP", "is an archive; unpack it")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(MaskError, match=remedy):
            read_masks(tmp_path / name, frames)


def test_ids_in_a_jpeg_are_told(tmp_path):
    Image.fromarray(boxes(1, 2).astype(np.uint8)).save(tmp_path / "m.jpg", quality=95)
    assert (
        "1 of 1 masks are JPEGs, whose values are not exact: save masks as PNG" in one(tmp_path / "m.jpg")[1].notes[0]
    )


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_masks_are_turned_as_viewers_show_them(tmp_path, mode, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.rot90(boxes(1, 2))
    image = Image.fromarray(stored.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "RGB":
        image = Image.fromarray(DAVIS_PALETTE[stored])
    elif mode == "P":
        image.putpalette(DAVIS_PALETTE.tobytes())
    image.save(tmp_path / f"m.{kind}", exif=exif)
    np.testing.assert_array_equal(one(tmp_path / f"m.{kind}")[0], boxes(1, 2))


def test_a_mask_on_its_side_is_not_to_be_resized(tmp_path, frames):
    write_mask(tmp_path / "m.png", boxes(1).T)
    with pytest.raises(MaskError, match="it lies on its side: turn it as viewers show the frames") as error:
        read_masks(tmp_path / "m.png", frames)
    assert "resize" not in str(error.value)


def test_accents_are_the_same_however_they_are_stored(tmp_path, frames):
    for t, path in enumerate(sorted(frames.iterdir())):
        path.rename(frames / f"{normalize('NFD', 'ü')} {t}.jpg")
    write_mask(tmp_path / f"{normalize('NFC', 'ü')} 2.png", boxes(1))
    masks = one(tmp_path / f"{normalize('NFC', 'ü')} 2.png", frames)[1]
    assert masks.notes == ()
    np.testing.assert_array_equal(masks[2], boxes(1))


def test_a_layer_that_is_thin_all_over_has_no_soft_edges(tmp_path):
    layer = np.dstack([DAVIS_PALETTE[boxes(1, 2)], np.where(boxes(1, 2), 100, 0).astype(np.uint8)])
    Image.fromarray(layer).save(tmp_path / "m.png")
    found, masks = one(tmp_path / "m.png")
    np.testing.assert_array_equal(found, boxes(1, 2))
    assert not any("alpha" in note for note in masks.notes)


@pytest.mark.parametrize("names", [("00002_cat", "00002_dog"), ("frame_000002_obj1", "frame_000002_obj2")])
def test_objects_with_one_frame_number_are_on_that_frame(tmp_path, frames, names):
    for name, labels in zip(names, (boxes(1), boxes(0, 1)), strict=True):
        Image.fromarray((labels * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    masks = read_masks([tmp_path / f"{name}.png" for name in names], frames)
    assert list(masks) == ["00002"]
    np.testing.assert_array_equal(masks[2], boxes(1, 2))
    assert "one object each, on frame 2, the last on top" in masks.notes[0]


@pytest.mark.parametrize("name", ["{}.png", "{:05d}.png", "frame_{:04d}.png"])
def test_masks_numbered_from_1_belong_to_frames_named_from_0(tmp_path, frames, name):
    for t in range(4):
        write_mask(tmp_path / "masks" / name.format(t + 1), boxes(1 + t, 7))
    masks = read_masks(tmp_path / "masks", frames)
    assert list(masks) == ["00000", "00001", "00002", "00003"]
    np.testing.assert_array_equal(masks[3], boxes(4, 7))
    assert "masks are numbered from 1 to 4: this one is put on frame 0" in masks.notes[0]


def test_a_number_that_no_frame_has_is_named(tmp_path, frames):
    for number in (1, 2, 9):
        write_mask(tmp_path / "masks" / f"{number:05d}.png", boxes(1, 2))
    with pytest.raises(MaskError, match=r"00009\.png: of several masks each is named like its frame"):
        read_masks(tmp_path / "masks", frames)
