"""Soft edges of masks are snapped; hard masks of many objects stay; pictures are refused."""

import re

import numpy as np
import pytest
from drawn import BLUE, RED, SIZE, WHITE, paint, same, save, scene
from PIL import Image, ImageFilter

from aot_jax import read_masks
from aot_jax.io.masks import DAVIS_PALETTE, MaskError


def soften(pixels, how):
    if how == "blurred":
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(0.7)))
    large = np.kron(pixels, np.ones((4, 4, 1) if pixels.ndim == 3 else (4, 4), np.uint8))
    return np.asarray(Image.fromarray(np.roll(large, (1, 1), (0, 1))).resize(SIZE[::-1], Image.BILINEAR))


@pytest.mark.parametrize("how", ["antialiased", "blurred"])
@pytest.mark.parametrize("background", [(0, 0, 0), WHITE])
@pytest.mark.parametrize("store", ["colour", "grey", "palette"])
def test_soft_edges_are_snapped_and_told(tmp_path, how, background, store):
    if store == "grey":
        if background == WHITE:
            pytest.skip("white is the object of a grey mask")
        soft, truth = soften(scene(square=False) * np.uint8(255), how), scene(square=False)
    else:
        soft, truth = soften(paint(scene(), background, RED, BLUE), how), scene()
    if store == "palette":
        Image.fromarray(soft).quantize(64).save(tmp_path / "m.png")
    else:
        save(tmp_path, "m", soft)
    masks = read_masks(tmp_path / "m.png")
    assert masks.ids == tuple(range(1, truth.max() + 1))
    found = masks["m"]
    order = [int(np.bincount(found[truth == i]).argmax()) for i in range(truth.max() + 1)]
    assert sorted(order) == list(range(len(order)))
    assert (found == np.array(order)[truth]).mean() > 0.985
    assert any("edges are soft" in note for note in masks.notes)


@pytest.mark.parametrize("levels", [(0, 50, 100), (0, 30, 60), (0, 100, 200), (0, 128, 255)])
def test_soft_edges_of_grey_levels_are_snapped(tmp_path, levels):
    masks = read_masks(save(tmp_path, "m", soften(np.array(levels, np.uint8)[scene()], "antialiased")))
    assert masks.ids == (1, 2)
    assert (masks["m"] == scene()).mean() > 0.985
    assert any("edges are soft" in note for note in masks.notes)


def test_crowds_of_ids_are_no_soft_edges(tmp_path):
    random = np.random.default_rng(0)
    for _ in range(20):
        ids = scene() * np.uint8(random.integers(1, 40))
        for i in range(60):
            y, x = random.integers(0, 46), random.integers(0, 62)
            ids[y : y + random.integers(1, 9), x : x + random.integers(1, 5)] = i
        same(read_masks(save(tmp_path, "m", ids))["m"], ids)


def test_a_soft_mask_among_hard_ones_takes_their_colours(tmp_path):
    near = (200, 50, 50)  # as noise of red might look
    save(tmp_path / "set", "0", paint(scene(), (0, 0, 0), RED, near))
    save(tmp_path / "set", "1", soften(paint(scene(square=False), (0, 0, 0), (245, 52, 49)), "antialiased"))
    masks = read_masks(tmp_path / "set")
    hard, soft = masks["0"], masks["1"]
    assert masks.ids == (1, 2)
    same(hard, np.array([0, hard[16, 18], hard[30, 45]])[scene()])
    assert (soft == np.where(scene(square=False), hard[16, 18], 0)).mean() > 0.985


def test_a_soft_mask_among_ids_is_refused(tmp_path):
    save(tmp_path / "set", "0", scene(), DAVIS_PALETTE)
    path = save(tmp_path / "set", "1", soften(scene(square=False) * np.uint8(255), "antialiased"))
    with pytest.raises(
        MaskError, match=rf"^{re.escape(str(path))}: its edges are soft, unlike those of the other masks"
    ):
        read_masks(tmp_path / "set")
    masks = read_masks({"0": tmp_path / "set" / "0.png", "1": path}, keep_going=True)
    same(masks["0"], scene())
    with pytest.raises(MaskError, match="its edges are soft"):
        masks["1"]


def test_lossy_black_and_white_is_snapped(tmp_path):
    Image.fromarray(scene(square=False) * np.uint8(255)).save(tmp_path / "m.jpg", quality=80)
    assert (read_masks(tmp_path / "m.jpg")["m"] == scene(square=False)).mean() > 0.99


def test_small_objects_of_hard_masks_stay(tmp_path):
    ids = scene()
    for number in range(20):
        ids[2 + number // 10 * 3, 3 + number * 3] = 3 + number
    for palette in (None, DAVIS_PALETTE):
        same(read_masks(save(tmp_path, "m", ids, palette))["m"], ids)
    spread = ids * np.uint8(10)
    same(read_masks(save(tmp_path, "m", spread))["m"], spread)
    colours = np.random.default_rng(0).integers(0, 256, (23, 3), np.uint8)
    colours[0] = 0
    masks = read_masks(save(tmp_path, "m", colours[ids]))
    assert len(masks.ids) == 22
    assert not any("soft" in note for note in masks.notes)


def test_pictures_are_refused_in_one_line(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    ramp = np.mgrid[: SIZE[0], : SIZE[1]].sum(0).astype(np.uint8)
    wide = np.asarray(Image.fromarray(scene(square=False) * np.uint8(255)).filter(ImageFilter.GaussianBlur(9)))
    for pixels in (noise, ramp * np.uint8(2), wide, noise // 50 * np.uint8(40) + np.uint8(9)):
        path = save(tmp_path, "m", pixels)
        with pytest.raises(MaskError, match=rf"^{re.escape(str(path))}: .*looks antialiased, or is a picture") as error:
            read_masks(path)
        assert "\n" not in str(error.value)
