import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_pipeline.errors import DataError
from data_pipeline.masks import count_pixels, image_size, read_mask

IDS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10) % 7


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def palette(ids):
    image = Image.new("P", ids.shape[::-1])
    image.putdata(ids.reshape(-1).tolist())
    image.putpalette([(50 * k) % 256 for k in range(768)])
    return image


def pixel_chunks(data):
    return data[data.index(b"IDAT") : data.index(b"IEND") - 4]


def test_a_palette_png_decodes_to_ids_in_tensorflow_and_keeps_its_pixel_bytes():
    data = encode(palette(IDS), bits=8)
    assert data[24:26] == b"\x08\x03"
    ids, grey = read_mask(data, "m.png")
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(tf.io.decode_png(grey, channels=1)[..., 0], IDS)
    assert pixel_chunks(grey) == pixel_chunks(data)
    # What the conversion is for: the original bytes would have come out as colours.
    assert (tf.io.decode_png(data, channels=1)[..., 0].numpy() != IDS).any()


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.fromarray(IDS), {}),
        (palette(IDS), {"bits": 4}),
        (Image.merge("LA", [Image.fromarray(IDS), Image.new("L", (10, 12), 255)]), {}),
        (Image.merge("RGB", [Image.fromarray(IDS)] * 3), {}),
        (Image.fromarray(IDS.astype(np.uint16)), {}),
    ],
    ids=["grey", "palette of 4 bits", "LA", "grey RGB", "16 bits"],
)
def test_every_way_to_store_ids_gives_the_ids(image, options):
    ids, grey = read_mask(encode(image, **options), "m.png")
    np.testing.assert_array_equal(ids, IDS)
    np.testing.assert_array_equal(tf.io.decode_png(grey, channels=1)[..., 0], IDS)


def test_a_one_bit_mask_is_object_one():
    ids, grey = read_mask(encode(Image.fromarray(IDS > 3)), "m.png")
    np.testing.assert_array_equal(ids, IDS > 3)
    np.testing.assert_array_equal(tf.io.decode_png(grey, channels=1)[..., 0], IDS > 3)


def test_grey_of_few_bits_is_not_stretched():
    # Two rows of 0, 1, 2, 3 at 4 bits a sample, which Pillow reads but does not write.
    ihdr = struct.pack(">IIBBBBB", 4, 2, 4, 0, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b"\0\x01\x23" * 2)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    ids, grey = read_mask(b"\x89PNG\r\n\x1a\n" + body, "m.png")
    assert ids.tolist() == [[0, 1, 2, 3]] * 2
    np.testing.assert_array_equal(tf.io.decode_png(grey, channels=1)[..., 0], ids)


def test_black_and_white_stays_for_the_whole_set_to_decide():
    drawn = np.where(IDS > 3, 255, 0).astype(np.uint8)
    for image in (Image.fromarray(drawn), palette(drawn)):
        np.testing.assert_array_equal(read_mask(encode(image), "m.png")[0], drawn)


def soft():
    distance = np.hypot(*np.mgrid[-40:40, -40:40])
    return Image.fromarray(np.clip(255 * (30 - distance), 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encode(Image.fromarray(np.stack([IDS, IDS + 1, IDS], -1))), "RGB colours"),
        (encode(soft()), "antialiased"),
        (encode(Image.fromarray(IDS), "JPEG"), "not a PNG file"),
        (encode(Image.fromarray(IDS.astype(np.uint16) * 100)), "ids from 0 to 600"),
        (encode(palette(IDS))[:80], "cannot be read"),
        (b"", "not a PNG file"),
        (encode(Image.merge("LA", [Image.new("L", (80, 80)), soft()])), "the shape is in the alpha channel"),
    ],
)
def test_a_bad_mask_is_named_with_the_reason(data, message):
    with pytest.raises(DataError, match=rf"some/m\.png: .*{message}"):
        read_mask(data, "some/m.png")


def test_a_sharp_mask_of_many_ids_is_not_called_antialiased():
    ids = np.repeat(np.arange(40, dtype=np.uint8), 50).reshape(40, 50)
    ids[:5] = 255
    np.testing.assert_array_equal(read_mask(encode(Image.fromarray(ids)), "m.png")[0], ids)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["P", "L", "LA", "RGB", "1", "I;16", "JPEG"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3000),
)
def test_any_bytes_give_ids_or_a_data_error(mode, changes, length):
    image = (
        Image.fromarray(IDS.astype(np.uint16)) if mode == "I;16" else soft().convert("L" if mode == "JPEG" else mode)
    )
    data = bytearray(encode(image, "JPEG" if mode == "JPEG" else "PNG")[: length + 8])
    for position, value in changes:
        data[position % len(data)] = value
    for read in (read_mask, image_size):
        with contextlib.suppress(DataError):
            read(bytes(data), "m.png")


def test_pixels_are_counted_without_background():
    assert count_pixels(np.array([[0, 0, 3], [3, 255, 9]], np.uint8)) == {3: 2, 9: 1, 255: 1}


def test_a_cut_image_is_found_and_a_whole_one_measured():
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG"):
        data = encode(Image.fromarray(noise), kind)
        assert image_size(data, "a") == (48, 64)
        with pytest.raises(DataError, match="a: cannot be read"):
            image_size(data[: len(data) // 2], "a")
    with pytest.raises(DataError, match="CMYK"):
        image_size(encode(Image.new("CMYK", (8, 8)), "JPEG"), "a")
