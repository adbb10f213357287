"""Masks: PNGs of annotation tools, errors that name the file, and palette output."""

import io
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aot_jax.io import masks
from aot_jax.io.masks import DAVIS_PALETTE, MaskError, binarise, read_mask, write_mask


def save(folder, pixels, mode=None, name="mask.png", **options):
    image = Image.fromarray(np.asarray(pixels, np.uint8 if np.asarray(pixels).max() < 256 else np.uint16))
    if mode == "P":
        image.putpalette(DAVIS_PALETTE.tobytes())
    elif mode is not None:
        image = image.convert(mode)
    image.save(folder / name, **options)
    return folder / name


def disc(size=96, radius=30, soft=0.0):
    ys, xs = np.mgrid[:size, :size] - size / 2
    inside = (radius - np.hypot(ys, xs)) / soft + 0.5 if soft else np.hypot(ys, xs) < radius
    return (np.clip(inside, 0, 1) * 255).astype(np.uint8)


def png_of_one_row(width, bits, colour_type, row):
    """Make a PNG of a kind that Pillow cannot write."""
    ihdr = struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_palette_has_the_published_colours():
    published = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert DAVIS_PALETTE[:7].tolist() == published
    assert DAVIS_PALETTE[[8, 22, 255]].tolist() == [[64, 0, 0], [0, 192, 128], [224, 224, 192]]
    assert len({tuple(colour) for colour in DAVIS_PALETTE.tolist()}) == 256


@pytest.mark.parametrize("bits", [4, 8])
def test_palette_masks_are_their_indices_and_keep_void(tmp_path, bits):
    ids = [[0, 1, 7], [255, 3, 15]] if bits == 8 else [[0, 1, 7], [14, 3, 15]]
    mask = read_mask(save(tmp_path, ids, "P", bits=bits))
    assert mask.dtype == np.int32
    assert mask.tolist() == ids


def test_black_and_white_grey_is_one_object_but_palette_255_is_void(tmp_path):
    assert read_mask(save(tmp_path, [[0, 255]])).tolist() == [[0, 1]]
    assert read_mask(save(tmp_path, [[0, 255]], "1")).tolist() == [[0, 1]]
    assert read_mask(save(tmp_path, [[0, 255]], "RGB")).tolist() == [[0, 1]]
    assert read_mask(save(tmp_path, [[0, 255]], "P")).tolist() == [[0, 255]]
    assert read_mask(save(tmp_path, [[0, 1]])).tolist() == [[0, 1]]
    assert read_mask(save(tmp_path, [[0, 0]])).tolist() == [[0, 0]]


def test_grey_ids_stay_and_void_beside_them(tmp_path):
    ids = [[0, 1, 2, 255], [44, 20, 21, 255]]
    assert read_mask(save(tmp_path, ids)).tolist() == ids
    mostly_void = [[0, 5, 90, 255, 255, 255]]
    assert read_mask(save(tmp_path, mostly_void)).tolist() == mostly_void


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17)])
def test_small_grey_samples_are_not_stretched(tmp_path, bits, step):
    # a PNG of 2 or 4 bits a sample; its samples are 0, 1, 2, 3
    row = bytes([0b00011011]) if bits == 2 else bytes([0x01, 0x23])
    path = tmp_path / "small.png"
    path.write_bytes(png_of_one_row(4, bits, 0, row))
    assert np.asarray(Image.open(path)).tolist() == [[0, step, 2 * step, 3 * step]]  # Pillow stretches the samples
    assert read_mask(path).tolist() == [[0, 1, 2, 3]]


def test_16_bit_ids(tmp_path):
    ids = [[0, 300], [65535, 255]]
    assert read_mask(save(tmp_path, ids)).tolist() == ids
    with pytest.raises(MaskError, match="4900 values are more than the 4096"):
        read_mask(save(tmp_path, np.arange(4900).reshape(70, 70)))


def test_an_alpha_channel_that_says_nothing_is_dropped(tmp_path):
    for alpha in ([[255, 255]], [[0, 0]], [[128, 255]]):
        pixels = np.stack([np.array([[0, 255]]), np.array(alpha)], -1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "la.png")
        assert read_mask(tmp_path / "la.png").tolist() == [[0, 1]]
    rgba = np.array([[[128, 0, 0, 255], [0, 128, 0, 200]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    assert read_mask(tmp_path / "rgba.png").tolist() == [[1, 2]]
    Image.fromarray(np.zeros((2, 2, 2), np.uint8)).save(tmp_path / "empty.png")
    assert read_mask(tmp_path / "empty.png").tolist() == [[0, 0], [0, 0]]


def test_a_shape_in_the_alpha_channel_alone_is_the_object(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    assert read_mask(tmp_path / "cut.png").tolist() == [[1, 0], [0, 0]]


def test_davis_colours_are_their_ids(tmp_path):
    ids = np.array([[0, 1, 2], [22, 7, 255]])
    assert read_mask(save(tmp_path, DAVIS_PALETTE[ids])).tolist() == ids.tolist()


def test_other_colours_are_numbered_in_ascending_order(tmp_path):
    red, green, black, nearly = [255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 0, 1]
    assert read_mask(save(tmp_path, [[red, black], [green, nearly]])).tolist() == [[2, 0], [1, 3]]
    assert read_mask(save(tmp_path, [[red, green]])).tolist() == [[2, 1]]  # 0 stays background without black


def test_antialiased_masks_are_refused_with_a_remedy(tmp_path):
    colours = np.stack([disc(soft=40), disc()[::-1] // 2, disc(soft=60) // 3], -1)
    for pixels, finding in (
        (disc(soft=40), r"\d\d+ grey levels are more than the 64"),
        (np.repeat(disc(soft=40)[..., None], 3, -1), r"grey levels are more than the 64"),
        (disc(soft=1.5), r"28 values, and edges that are blends"),
        (colours, r"\d+ colours are more than the 256"),
    ):
        path = save(tmp_path, pixels)
        with pytest.raises(MaskError, match=finding) as error:
            read_mask(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "nearest neighbour" in str(error.value)
    assert read_mask(save(tmp_path, disc())).max() == 1  # the same shape with hard edges


def test_hundreds_of_ids_are_fine_in_a_palette_or_16_bits(tmp_path):
    ids = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(read_mask(save(tmp_path, ids, "P")), ids)
    np.testing.assert_array_equal(read_mask(save(tmp_path, ids * 3)), ids * 3)


def test_another_size_names_both(tmp_path):
    path = save(tmp_path, np.zeros((4, 6), np.uint8))
    assert read_mask(path, size=(4, 6)).shape == (4, 6)
    with pytest.raises(MaskError, match="the mask is 6x4, but 4x6"):
        read_mask(path, size=(6, 4))


def test_files_that_are_no_mask_are_named(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "mask.jpg")
    whole = save(tmp_path, disc()).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    for name, finding in (
        ("mask.jpg", "not a PNG"),
        ("cut.png", "cannot be read"),
        ("empty.png", "is empty, 0 bytes"),
        ("none.png", "no such file"),
    ):
        with pytest.raises(MaskError, match=f"{re.escape(str(tmp_path / name))}: {finding}"):
            read_mask(tmp_path / name)


def test_16_bit_colour_is_refused_since_pillow_drops_the_low_byte(tmp_path):
    row = struct.pack(">4H", 3, 65535, 4, 65535)  # grey and alpha of two pixels
    (tmp_path / "la16.png").write_bytes(png_of_one_row(2, 16, 4, row))
    with pytest.raises(MaskError, match=r"la16\.png: 16-bit colour or alpha"):
        read_mask(tmp_path / "la16.png")


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["P", "L", "LA", "RGB", "RGBA", "1", "I;16"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3000),
)
def test_any_bytes_give_ids_or_a_mask_error(tmp_path_factory, mode, changes, length):
    stream = io.BytesIO()
    ids = disc(24, 8)
    image = Image.fromarray(ids.astype(np.uint16)) if mode == "I;16" else Image.fromarray(ids).convert(mode)
    image.save(stream, "PNG")
    data = bytearray(stream.getvalue()[: length + 8])
    for position, value in changes:
        data[position % len(data)] = value
    path = Path(tmp_path_factory.getbasetemp()) / f"fuzz_{os.getpid()}.png"
    path.write_bytes(data)
    try:
        mask = read_mask(path)
    except MaskError as refusal:
        mask, message = None, str(refusal)
    if mask is None:
        assert str(path) in message
    else:
        assert mask.dtype == np.int32
        assert mask.ndim == 2
        assert mask.min() >= 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535), min_size=6, max_size=6), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, ids, small):
    mask = np.array(ids, np.int64).reshape(2, 3) % (256 if small else 65536)
    path = Path(tmp_path_factory.getbasetemp()) / f"round_trip_{os.getpid()}.png"
    write_mask(path, mask)
    np.testing.assert_array_equal(read_mask(path), mask)


def test_written_masks_are_davis_palette_files_that_others_may_read(tmp_path):
    path = tmp_path / "new" / "folder" / "00000.png"
    write_mask(path, np.array([[0, 1], [2, 255]]))
    with Image.open(path) as image:
        assert image.mode == "P"
        assert image.getpalette()[:9] == DAVIS_PALETTE[:3].ravel().tolist()
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode
    assert [file.name for file in path.parent.iterdir()] == ["00000.png"]


def test_another_palette_and_booleans(tmp_path):
    write_mask(tmp_path / "a.png", np.array([[False, True]]), palette=np.array([[1, 2, 3], [4, 5, 6]]))
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image.convert("RGB")).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("mask", "finding"),
    [
        (np.array([[-1, 3]]), "id -1 does not fit"),
        (np.array([[0, 65536]]), "id 65536 does not fit"),
        (np.zeros((2, 2)), "not float64"),
        (np.zeros((2, 2, 1), int), r"shape \(2, 2, 1\)"),
        (np.zeros((0, 2), int), r"shape \(0, 2\)"),
    ],
)
def test_arrays_that_are_no_mask_are_not_written(tmp_path, mask, finding):
    with pytest.raises(MaskError, match=finding):
        write_mask(tmp_path / "a.png", mask)
    assert list(tmp_path.iterdir()) == []


def test_masks_are_written_as_png_only(tmp_path):
    with pytest.raises(MaskError, match=r"a\.jpg: masks are written as PNG"):
        write_mask(tmp_path / "a.jpg", np.zeros((2, 2), int))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_mask(path, np.array([[0, 1]]))

    def fill_the_disk(self, file, *_, **options):
        Path(file).write_bytes(b"half a fi")
        raise OSError("No space left on device")

    monkeypatch.setattr(masks.Image.Image, "save", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        write_mask(path, np.array([[0, 2]]))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert read_mask(path).tolist() == [[0, 1]]


def test_binary_helpers():
    assert binarise(np.array([[0, 3, 255]])).tolist() == [[0, 1, 1]]
