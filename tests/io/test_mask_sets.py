"""Sets of masks: one meaning for all masks of a video, whatever tool drew them, and the notes about guesses."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from drawn import BLUE, RED, SIZE, WHITE, paint, same, save, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aot_jax import read_masks
from aot_jax.io.masks import DAVIS_PALETTE, MaskError, write_mask


def test_a_colour_is_one_object_whenever_it_comes_or_goes(tmp_path):
    shown = [scene(square=t >= 3, disc=t < 5) for t in range(8)]
    for t, ids in enumerate(shown):
        save(tmp_path / "rgb", f"{t:05d}", paint(ids, (0, 0, 0), RED, BLUE))
    masks = read_masks(tmp_path / "rgb")
    assert masks.ids == (1, 2)
    for name, ids in zip(masks, shown, strict=True):
        same(masks[name], ids)
    assert masks.notes == (f"{tmp_path / 'rgb'}: colours are numbered: 1 #fa3232, 2 #3232fa",)


def test_another_set_takes_the_colours_of_the_first(tmp_path):
    for t in range(3):
        save(tmp_path / "truth", f"{t:05d}", paint(scene(square=t > 0), (0, 0, 0), RED, BLUE))
        save(tmp_path / "found", f"{t:05d}", paint(scene(disc=t > 0), (0, 0, 0), RED, BLUE))
    truth = read_masks(tmp_path / "truth")
    assert read_masks(tmp_path / "found")["00000"].max() == 1  # by itself, the square comes first
    same(read_masks(tmp_path / "found", like=truth)["00000"], scene(disc=False))


def test_grey_levels_up_to_white_are_objects_even_where_white_is_alone(tmp_path):
    for t in range(6):
        save(tmp_path / "grey", f"{t:05d}", np.array([0, 128, 255], np.uint8)[scene(disc=t < 3)])
    masks = read_masks(tmp_path / "grey")
    same(masks["00000"], scene())
    same(masks["00005"], scene(disc=False))
    assert masks.void is None
    assert "grey levels 128, 255 are objects 1 to 2" in masks.notes[0]


@pytest.mark.parametrize("palette", [None, DAVIS_PALETTE])
def test_255_is_void_beside_ids_anywhere_in_the_set_and_the_object_where_there_are_none(tmp_path, palette):
    bordered = scene(square=False)
    bordered[:, 30] = 255
    save(tmp_path / "void", "00000", bordered, palette)
    save(tmp_path / "void", "00001", np.where(bordered == 255, bordered, 0), palette)  # void alone, in this frame
    masks = read_masks(tmp_path / "void")
    assert (masks.ids, masks.void) == ((1,), 255)
    same(masks["00000"], scene(square=False))
    assert masks["00001"].max() == 0
    kept = read_masks(tmp_path / "void", void=255)
    same(kept["00000"], bordered)
    drawn = save(tmp_path / "drawn", "00000", np.where(bordered == 1, 255, 0).astype(np.uint8), palette)
    same(read_masks(drawn)["00000"], scene(square=False))


def test_wide_ids_know_no_void(tmp_path):
    write_mask(tmp_path / "a.png", np.array([[0, 255, 300]]))
    assert read_masks(tmp_path / "a.png").ids == (255, 300)


def backgrounds():
    ids = scene()
    order = np.array([2, 0, 1], np.uint8)[ids]  # background, disc, square
    yield "black is index 2", order, [RED, BLUE, (0, 0, 0)], {}, []
    yield "white is index 2", order, [RED, BLUE, WHITE], {}, ["no pixel is black: white, which covers"]
    yield "white paper", paint(ids, WHITE, BLUE, RED), None, {}, ["no pixel is black: white, which covers"]
    yield "green screen", paint(ids, (0, 255, 0), BLUE, RED), None, {}, ["no pixel is black: #00ff00, which covers"]
    yield "black on white", paint(ids, WHITE, (0, 0, 0), RED), None, {}, ["white, which covers the border"]
    layer = np.dstack([paint(ids, WHITE, BLUE, RED), np.where(ids, 255, 0).astype(np.uint8)])
    yield "a transparent layer", layer, None, {}, ["transparent pixels are background"]
    layer = np.dstack([paint(ids, (0, 0, 0), (0, 0, 0), RED), np.where(ids, 255, 0).astype(np.uint8)])
    yield "black on a transparent layer", layer, None, {}, ["transparent pixels are background, black ones an object"]
    yield "a transparent index", order, [RED, BLUE, WHITE], {"transparency": 2}, ["transparent pixels are background"]


@pytest.mark.parametrize(
    ("pixels", "palette", "options", "told"), [case[1:] for case in backgrounds()], ids=[c[0] for c in backgrounds()]
)
def test_the_background_is_found_and_told(tmp_path, pixels, palette, options, told):
    masks = read_masks(save(tmp_path, "m", pixels, palette, **options))
    same(masks["m"], scene())
    for text in told:
        assert sum(text in note for note in masks.notes) == 1


def test_a_plain_palette_is_told_nothing_of(tmp_path):
    for palette in (DAVIS_PALETTE, np.zeros((256, 3)), [(0, 0, 0), RED, BLUE], [WHITE, (0, 0, 0), RED]):
        masks = read_masks(save(tmp_path, "m", scene(), palette))
        same(masks["m"], scene())
        assert masks.notes == ()


def test_palettes_of_another_order_in_every_file_count_by_colour(tmp_path):
    colours = np.array([(0, 0, 0), RED, BLUE], np.uint8)
    for t, order in enumerate(([0, 1, 2], [2, 0, 1], [1, 2, 0])):
        indices = np.argsort(order).astype(np.uint8)[scene()]
        save(tmp_path / "p", f"{t}", indices, colours[order])
    masks = read_masks(tmp_path / "p")
    for t in range(3):
        same(masks[str(t)], scene())


def test_a_set_without_background_is_told(tmp_path):
    masks = read_masks(save(tmp_path, "m", scene() + np.uint8(1), DAVIS_PALETTE))
    assert masks.ids == (1, 2, 3)
    assert "no pixel is 0, so none is background; the border is mostly object 1" in masks.notes[0]
    masks = read_masks(save(tmp_path, "m", np.where(scene(), 0, 255).astype(np.uint8)))
    assert "the object covers most of the border" in masks.notes[0]


@pytest.mark.parametrize("opacities", [(127, 127), (200, 100)])
def test_layers_of_any_opacity_are_objects(tmp_path, opacities):
    alpha = np.array([0, *opacities], np.uint8)[scene()]
    masks = read_masks(save(tmp_path, "m", np.dstack([paint(scene(), RED, BLUE, RED), alpha])))
    same(masks["m"], scene())


def test_pictures_with_transparency_are_cut_out_objects(tmp_path):
    random = np.random.default_rng(0)
    for t in range(2):
        picture = random.integers(0, 256, (*SIZE, 3), np.uint8)
        alpha = np.where(scene(square=t == 0), 255, 0).astype(np.uint8)
        save(tmp_path / "set", str(t), np.dstack([picture, alpha]))
    save(tmp_path / "set", "2", np.zeros((*SIZE, 4), np.uint8))
    masks = read_masks(tmp_path / "set")
    for t in range(2):
        same(masks[str(t)], scene(square=t == 0) > 0)
    assert (masks.ids, masks["2"].max()) == ((1,), 0)
    assert masks.notes[-1].endswith("2 of 2 masks are pictures with transparency: opaque pixels are object 1")
    save(tmp_path / "set", "3", paint(scene(), (0, 0, 0), RED, BLUE))
    with pytest.raises(MaskError, match="pictures with transparency beside masks without"):
        read_masks(tmp_path / "set")


def test_a_palette_of_greys_is_grey(tmp_path):
    greys = np.arange(256).repeat(3)
    masks = read_masks(save(tmp_path, "m", np.array([0, 128, 255], np.uint8)[scene()], greys))
    same(masks["m"], scene())
    same(read_masks(save(tmp_path, "m", np.array([0, 1, 255], np.uint8)[scene()], greys))["m"], scene() == 1)


def test_void_where_it_is_not_expected_is_told(tmp_path):
    masks = read_masks(save(tmp_path, "m", np.array([255, 0, 1], np.uint8)[scene()], DAVIS_PALETTE))
    assert (masks.ids, masks.void) == ((1,), 255)
    assert "the border is mostly void (255): if that is the background" in masks.notes[0]
    masks = read_masks(save(tmp_path, "m", np.where(scene(), 255, 0).astype(np.uint8), DAVIS_PALETTE))
    assert masks.ids == (1,)
    assert "255, the only value besides 0, is taken for object 1, not for void" in masks.notes[0]


def test_faults_are_raised_at_once_or_when_the_mask_is_asked_for(tmp_path):
    save(tmp_path, "0", scene(), DAVIS_PALETTE)
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(MaskError, match=r"1\.png: not a JPEG or PNG"):
        read_masks(tmp_path)
    masks = read_masks({name: tmp_path / f"{name}.png" for name in "01"}, keep_going=True)
    same(masks["0"], scene())
    with pytest.raises(MaskError, match=r"1\.png: not a JPEG or PNG"):
        masks["1"]
    with pytest.raises(MaskError, match=r"the mask is 64x48, but 64x64"):
        read_masks(tmp_path / "0.png", size=(64, 64))
    save(tmp_path, "0", paint(scene(), (0, 0, 0), WHITE, RED))
    with pytest.raises(MaskError, match="has changed since it was first read"):
        masks["0"]


def test_masks_are_found_by_name_path_and_number(tmp_path):
    for t in range(4):
        save(tmp_path / "frames", f"{t:05d}", np.zeros((*SIZE, 3), np.uint8))
    frames = sorted((tmp_path / "frames").iterdir())
    masks = read_masks(save(tmp_path, "first", scene(), DAVIS_PALETTE), frames)
    assert list(masks) == ["00000"]
    for key in ("00000", frames[0], 0):
        same(masks.get(key), scene())
    assert [masks.get(path) is None for path in frames] == [False, True, True, True]
    assert masks.get(99) is None
    with pytest.raises(MaskError, match="the mask is 3x2, but 64x48"):
        read_masks(save(tmp_path, "first", scene()[:2, :3]), frames)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["PNG", "TIFF", "BMP", "WebP", "JPEG"]),
    st.sampled_from(["P", "L", "RGB", "RGBA", "1"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 4000),
)
def test_any_bytes_give_masks_or_a_mask_error(tmp_path_factory, kind, mode, changes, length):
    stream = io.BytesIO()
    image = Image.fromarray(scene(size=(24, 32)) * np.uint8(90)).convert(mode)
    image = image.convert("RGB") if kind == "JPEG" or (kind == "WebP" and mode in "P1") else image
    image.save(stream, kind)
    data = bytearray(stream.getvalue()[: length + 8])
    for position, value in changes:
        data[position % len(data)] = value
    path = Path(tmp_path_factory.getbasetemp()) / f"any_{os.getpid()}.{kind.lower()}"
    path.write_bytes(data)
    try:
        mask = next(iter(read_masks(path).values()))
    except MaskError as refusal:
        mask, message = None, str(refusal)
    if mask is None:
        assert message.startswith(str(path))
        assert "\n" not in message
    else:
        assert mask.dtype == np.int32
        assert mask.min() >= 0
