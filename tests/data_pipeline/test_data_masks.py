"""Masks and images stored for training: TensorFlow decodes the masks' ids, and images as viewers show them."""

import contextlib
import io
import re

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aot_jax.io import datasets
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import read_frame
from data_pipeline.frames import EncodedFrame, count_pixels, encode_ids, encode_image, read_videos

IDS = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10) % 7


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height=48, width=64):
    """Return a smooth image, which a JPEG changes little."""
    ys, xs = np.mgrid[:height, :width]
    return np.stack([ys * 255 // height, xs * 255 // width, np.full_like(ys, 90)], -1).astype(np.uint8)


def test_ids_are_what_tensorflow_decodes():
    for ids in (IDS, np.where(IDS == 3, 255, IDS)):
        np.testing.assert_array_equal(tf.io.decode_png(encode_ids(ids, "m"), channels=1)[..., 0], ids)
    with pytest.raises(DataError, match=r"m\.png: ids from 0 to 600; training takes 0 \.\. 254"):
        encode_ids(IDS.astype(np.int32) * 100, "m.png")


def test_pixels_are_counted_without_background():
    assert count_pixels(np.array([[0, 0, 3], [3, 255, 9]], np.uint8)) == {3: 2, 9: 1, 255: 1}


def test_a_cut_image_is_found_and_a_whole_one_kept():
    for kind in ("JPEG", "PNG"):
        data = encode(Image.fromarray(noise()), kind)
        assert encode_image(data, "a") == ((48, 64), data)
        with pytest.raises(DataError, match="a: cannot be read"):
            encode_image(data[: len(data) // 2], "a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "TIFF", "BMP"])
@pytest.mark.parametrize("turned", [False, True])
def test_images_are_stored_upright_as_tensorflow_decodes_them(kind, turned):
    exif = Image.Exif()
    exif[0x0112] = 6 if turned else 1
    options = {} if kind == "BMP" else {"exif": exif}
    options |= {"JPEG": {"quality": 98}, "WebP": {"lossless": True}}.get(kind, {})
    if kind == "BMP" and turned:
        pytest.skip("BMP has no orientation")
    size, data = encode_image(encode(Image.fromarray(np.rot90(noise()) if turned else noise()), kind, **options), "a")
    assert size == (48, 64)
    assert np.abs(tf.io.decode_image(data, channels=3).numpy().astype(int) - noise()).max() <= 12


def frames_of_each_mode():
    """Return one file of each way to store an image."""
    image = Image.fromarray(noise())
    grey, levels = image.convert("L"), np.linspace(0, 65535, 48 * 64).reshape(48, 64).astype(np.uint16)
    cmyk = encode(image.convert("CMYK"), "JPEG", quality=98)
    sixteen_bit = cv2.imencode(".png", np.stack([levels, levels[:, ::-1], levels[::-1]], -1))[1].tobytes()
    return {
        "CMYK": cmyk,
        "YCCK": re.sub(rb"(Adobe.{6})\x00", b"\\1\x02", cmyk, count=1, flags=re.DOTALL),
        "JPEG stored as RGB": encode(image, "JPEG", keep_rgb=True),
        "grey JPEG": encode(grey, "JPEG"),
        "16-bit grey": encode(Image.fromarray(levels)),
        "16-bit colour": sixteen_bit,
        "one bit": encode(image.convert("1")),
        "palette": encode(image.quantize(16)),
        "palette with a transparent colour": encode(image.quantize(16), transparency=3),
        "grey with alpha": encode(Image.merge("LA", (grey, grey))),
        "colour with alpha": encode(Image.merge("RGBA", (*image.split(), grey))),
    }


@pytest.mark.parametrize("mode", frames_of_each_mode())
def test_training_sees_a_frame_as_tracking_does(mode):
    data = frames_of_each_mode()[mode]
    size, stored = encode_image(data, "a")
    seen = read_frame("a", data)
    decoded = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert size == seen.shape[:2] == (48, 64)
    assert np.abs(decoded[..., ::-1].astype(int) - seen).max() <= (8 if stored != data else 0)
    assert (stored == data) == (mode not in ("CMYK", "YCCK"))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WebP", "TIFF", "BMP"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3000),
)
def test_any_bytes_give_an_image_or_a_data_error(kind, changes, length):
    data = bytearray(encode(Image.fromarray(noise()), kind)[: length + 8])
    for position, value in changes:
        data[position % len(data)] = value
    with contextlib.suppress(DataError):
        encode_image(bytes(data), "a")


def write(root, video, masks):
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / video).mkdir(parents=True)
    for t, mask in enumerate(masks):
        Image.fromarray(noise()).save(root / "JPEGImages" / video / f"{t}.jpg")
        mask.save(root / "Annotations" / video / f"{t}.png")


def stored(root, kind="videos"):
    """Return the stored ids of each frame, decoded by TensorFlow, or the error."""
    notes = []
    return {
        f"{video.name}/{pair.name}": tf.io.decode_png(frame.mask, channels=1)[..., 0].numpy()
        if isinstance(frame, EncodedFrame)
        else str(frame)
        for video, frames in read_videos(datasets.find(kind, root), notes.append)
        for pair, frame in zip(video.frames, frames, strict=True)
    }, notes


def test_a_colour_is_one_object_in_a_video(tmp_path):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:20, 5:20], ids[25:40, 30:50] = 1, 2
    colours = np.array([(0, 0, 0), (250, 50, 50), (50, 50, 250)], np.uint8)
    write(tmp_path, "a", [Image.fromarray(colours[np.where(ids == 2, 2 * (t > 0), ids)]) for t in range(3)])
    write(tmp_path, "b", [Image.fromarray(np.where(ids, 255, 0).astype(np.uint8))] * 2)
    found, notes = stored(tmp_path)
    np.testing.assert_array_equal(found["a/1"], ids)
    np.testing.assert_array_equal(found["a/0"], np.where(ids == 2, 0, ids))
    np.testing.assert_array_equal(found["b/1"], ids > 0)
    assert notes == [f"{tmp_path / 'Annotations' / 'a'}: colours are numbered: 1 #fa3232, 2 #3232fa"]


def test_void_of_a_set_of_images_is_known_by_the_whole_set(tmp_path):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:20, 5:20], ids[25:40, 30:50] = 1, 255
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole", "set", [Image.fromarray(ids), Image.fromarray(np.where(ids == 1, 0, ids))])
    found, _ = stored(tmp_path / "whole", "static")
    assert [set(np.unique(mask).tolist()) for mask in found.values()] == [{0, 1, 255}, {0, 255}]


def test_bad_masks_are_named_and_the_others_stored(tmp_path):
    small, wide = Image.fromarray(IDS), Image.fromarray(np.full((48, 64), 600, np.uint16))
    write(tmp_path, "a", [Image.fromarray(np.resize(IDS, (48, 64))), small])
    write(tmp_path, "b", [Image.fromarray(np.resize(IDS, (48, 64))), wide])
    (tmp_path / "Annotations" / "b" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found, _ = stored(tmp_path)
    np.testing.assert_array_equal(found["a/0"], np.resize(IDS, (48, 64)))
    for name, finding in (
        ("a/1", "10x12 pixels, but its image has 64x48"),
        ("b/0", "cannot be read"),
        ("b/1", "ids from 600"),
    ):
        assert found[name].startswith(str(tmp_path / "Annotations" / name))
        assert finding in found[name]
