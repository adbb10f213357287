"""Soft edges of masks are snapped; hard masks of many objects stay; pictures are refused."""

import re

import numpy as np
import pytest
from drawn import BLUE, RED, SIZE, WHITE, paint, same, save, scene
from PIL import Image, ImageDraw, ImageFilter

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
        with pytest.raises(
            MaskError, match=rf"^{re.escape(str(path))}: .*looks antialiased or dithered, or is a picture"
        ) as error:
            read_masks(path)
        assert "\n" not in str(error.value)


def photo():
    """Return a smooth picture, 96x128."""
    ys, xs = np.mgrid[:96, :128]
    waves = [np.sin(xs / 11 + ys / 17), np.sin(ys / 8), np.cos(xs / 7)]
    return np.stack([127 + 127 * wave for wave in waves], -1).astype(np.uint8)


@pytest.mark.parametrize("colours", [16, 40, 216])
@pytest.mark.parametrize("place", ["everywhere", "in the object"])
def test_dithered_palettes_are_refused(tmp_path, colours, place):
    pixels = photo()
    if place == "in the object":
        pixels[np.hypot(*(np.mgrid[:96, :128] - np.array([48, 64])[:, None, None])) > 30] = 0
    pixels = Image.fromarray(pixels)
    palette = Image.fromarray(photo()).quantize(colours) if colours < 216 else pixels.convert("P")
    path = tmp_path / "m.png"
    pixels.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path)
    with pytest.raises(MaskError, match=rf"^{re.escape(str(path))}: its [0-9]+ colours change from pixel to pixel"):
        read_masks(path)
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(MaskError, match="colours change from pixel to pixel"):
        read_masks(path)


def test_blurred_colours_of_a_palette_are_refused(tmp_path):
    wide = Image.fromarray(paint(scene(size=(96, 128)), (0, 0, 0), RED, BLUE)).filter(ImageFilter.GaussianBlur(3))
    wide.quantize(64).save(tmp_path / "m.png")
    with pytest.raises(MaskError, match="colours change from pixel to pixel"):
        read_masks(tmp_path / "m.png")


def test_dithering_to_the_davis_palette_is_told(tmp_path):
    davis = Image.new("P", (1, 1))
    davis.putpalette(DAVIS_PALETTE.tobytes())
    Image.fromarray(photo()).quantize(palette=davis).save(tmp_path / "m.png")
    notes = read_masks(tmp_path / "m.png").notes
    assert "ids change from pixel to pixel in 1 of 1 masks, as in a dithered picture" in notes[-1]


@pytest.mark.parametrize("colours", [2, 3, 6])
def test_dithering_to_a_few_colours_is_told_or_refused(tmp_path, colours):
    pixels = Image.fromarray(photo())
    few = pixels.quantize(colours)
    assert not any("pixel to pixel" in note for note in read_masks(save(tmp_path, "m", few.convert("RGB"))).notes)
    dithered = pixels.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG)
    with pytest.raises(MaskError, match="colours change from pixel to pixel"):
        read_masks(save(tmp_path, "m", dithered.convert("RGB")))
    (note,) = read_masks(save(tmp_path, "m", np.asarray(dithered)), size=None).notes
    assert "ids change from pixel to pixel" in note


def test_noise_is_told(tmp_path):
    random = np.random.default_rng(0)
    for share in (0.02, 0.5):
        noise = (random.random((96, 128)) < share) * np.uint8(255)
        assert any("pixel to pixel" in note for note in read_masks(save(tmp_path, "m", noise)).notes)
    points = np.zeros((96, 128), np.uint16)
    points[::8, ::8] = np.arange(192).reshape(12, 16)
    assert not read_masks(save(tmp_path, "m", points)).notes  # each pixel is an object of its own


def test_grey_levels_in_a_jpeg_of_high_quality_are_snapped(tmp_path):
    ids = scene(size=(96, 128))
    Image.fromarray(np.array([0, 100, 200], np.uint8)[ids]).save(tmp_path / "m.jpg", quality=95)
    masks = read_masks(tmp_path / "m.jpg")
    assert masks.ids == (1, 2)
    assert (masks["m"] == ids).mean() > 0.999


def test_thin_lines_and_ragged_objects_are_not_dithered(tmp_path):
    random, size = np.random.default_rng(0), (96, 128)
    lines = Image.new("RGB", size[::-1])
    for _ in range(20):
        ends, colour = random.integers(0, size[0], 4), random.integers(60, 256, 3)
        ImageDraw.Draw(lines).line(ends.tolist(), tuple(colour.tolist()))
    smooth = [
        Image.fromarray(random.integers(0, 256, size, np.uint8)).filter(ImageFilter.GaussianBlur(3)) for _ in "abcdef"
    ]
    ragged = paint(np.argmax(smooth, 0), (0, 0, 0), RED, BLUE, WHITE, (0, 200, 0), (200, 200, 0))
    for pixels in (lines, ragged):
        assert not any("pixel to pixel" in note for note in read_masks(save(tmp_path, "m", pixels)).notes)
