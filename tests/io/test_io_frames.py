"""Frames: order in a folder, decoding to RGB, and errors that name the file."""

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

from aot_jax.io.frames import FrameError, list_frames, read_frame, write_jpeg
from aot_jax.io.images import MAX_PIXELS


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"")


def names(folder, **kwargs):
    return [path.name for path in list_frames(folder, **kwargs)]


def picture(height=24, width=32):
    ys, xs = np.mgrid[:height, :width]
    return np.stack([ys * 255 // height, xs * 255 // width, np.full_like(ys, 90)], -1).astype(np.uint8)


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def png_header_only(width, height):
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("given_names", "order"),
    [
        (["00010.jpg", "00002.jpg", "00000.jpg"], ["00000.jpg", "00002.jpg", "00010.jpg"]),
        (["10.png", "9.png", "100.png", "1.png"], ["1.png", "9.png", "10.png", "100.png"]),
        (["shot_10.jpg", "shot_9.jpg", "a.jpg"], ["a.jpg", "shot_9.jpg", "shot_10.jpg"]),
        (["2b.jpg", "b2.jpg", "2.jpg", "02b.jpg"], ["2.jpg", "02b.jpg", "2b.jpg", "b2.jpg"]),
    ],
)
def test_frames_come_in_the_order_of_the_video(tmp_path, given_names, order):
    touch(tmp_path, *given_names)
    assert names(tmp_path) == order


def test_other_files_hidden_files_and_folders_are_left_out(tmp_path):
    touch(tmp_path, "1.JPG", "2.png", "._1.jpg", "notes.txt", "3.gif")
    (tmp_path / "4.jpg").mkdir()
    assert names(tmp_path) == ["1.JPG", "2.png"]
    assert names(tmp_path, suffixes=(".png",)) == ["2.png"]


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(FrameError, match=re.escape(f"{tmp_path / 'no'}: not a folder")):
        list_frames(tmp_path / "no")
    touch(tmp_path, "a.txt")
    with pytest.raises(FrameError, match=re.escape(f"{tmp_path}: no .jpg .jpeg .png .webp .bmp .tif .tiff image")):
        list_frames(tmp_path)


def test_one_frame_in_two_formats_is_refused(tmp_path):
    touch(tmp_path, "00000.jpg", "00001.jpg", "00001.png")
    with pytest.raises(FrameError, match=r"00001\.jpg and 00001\.png"):
        list_frames(tmp_path)


def test_png_pixels_come_out_exactly(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    frame = read_frame(tmp_path / "a.png")
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, picture())
    frame[0] = 0  # the array is writable


def test_jpeg_is_rgb_and_close_to_what_was_saved(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(Image.fromarray(picture()), subsampling=0))
    difference = read_frame(tmp_path / "a.jpg").astype(int) - picture()
    assert np.abs(difference).max() <= 8


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_frames_are_upright_as_a_viewer_shows_them(tmp_path, kind):
    for orientation, turns in ((3, 2), (6, 1), (8, 3)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"jpeg": {"quality": 95}, "webp": {"lossless": True}}.get(kind, {})
        Image.fromarray(np.rot90(picture(24, 32), turns)).save(tmp_path / f"a.{kind}", exif=exif, **options)
        frame = read_frame(tmp_path / f"a.{kind}").astype(int)
        assert np.abs(frame - picture(24, 32)).max() <= (12 if kind == "jpeg" else 0)


def test_other_colour_modes_become_rgb(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 200]], np.uint8)).save(path)
    assert read_frame(path).tolist() == [[[0, 0, 0], [200, 200, 200]]]
    Image.fromarray(np.array([[0, 0x1234, 0xFFFF]], np.uint16)).save(path)
    assert read_frame(path).tolist() == [[[0] * 3, [0x12] * 3, [0xFF] * 3]]
    Image.fromarray(np.array([[[1, 2, 3, 0]]], np.uint8)).save(path)
    assert read_frame(path).tolist() == [[[1, 2, 3]]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette(bytes([9, 8, 7, 50, 60, 70]))
    palette.save(path, transparency=b"\x00\x80")  # Pillow warns on converting this; warnings fail the tests
    assert read_frame(path).tolist() == [[[9, 8, 7], [50, 60, 70]]]


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(Image.new("CMYK", (8, 8), (0, 255, 255, 0))))
    red = read_frame(tmp_path / "a.jpg")[4, 4].astype(int)
    assert red[0] > 240
    assert red[1:].max() < 15


def test_broken_files_are_named(tmp_path):
    path = tmp_path / "frame.jpg"
    whole = jpeg(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    for content in (whole[: len(whole) // 2], whole[:20], b"", b"hello", whole[:3] + bytes(500)):
        path.write_bytes(content)
        with pytest.raises(FrameError, match=re.escape(str(path))):
            read_frame(path)
    with pytest.raises(FrameError, match="no such file"):
        read_frame(tmp_path / "none.jpg")
    with pytest.raises(FrameError, match=re.escape(str(tmp_path))):
        read_frame(tmp_path)


def test_an_image_may_not_claim_more_than_the_bound(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header_only(MAX_PIXELS // 1024 + 1, 1024))
    with pytest.raises(FrameError, match=f"131073x1024 is more than {MAX_PIXELS} pixels"):
        read_frame(path)


def test_a_large_image_within_the_bound_raises_no_pillow_warning(tmp_path):
    assert MAX_PIXELS > Image.MAX_IMAGE_PIXELS  # where Pillow starts to warn
    path = tmp_path / "large.png"
    path.write_bytes(png_header_only(1 << 16, 1 << 11))
    with pytest.raises(FrameError, match="cannot be read"):  # the file has almost no pixel data
        read_frame(path)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8), st.integers(0, 2000))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_any_bytes_give_a_frame_or_a_frame_error(tmp_path_factory, kind, changes, length):
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, kind)
    data = bytearray(stream.getvalue()[: length + 8])
    for position, value in changes:
        data[position % len(data)] = value
    path = Path(tmp_path_factory.getbasetemp()) / f"fuzz_{os.getpid()}.bin"
    path.write_bytes(data)
    try:
        frame = read_frame(path)
    except FrameError as refusal:
        frame, message = None, str(refusal)
    if frame is None:
        assert str(path) in message
    else:
        assert frame.ndim == 3
        assert frame.dtype == np.uint8


def test_a_link_to_a_missing_image_is_not_passed_over(tmp_path):
    for name in ("0.jpg", "2.jpg"):
        write_jpeg(tmp_path / name, np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "1.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    assert [path.name for path in list_frames(tmp_path)] == ["0.jpg", "1.jpg", "2.jpg"]
    with pytest.raises(FrameError, match=r"1\.jpg: no such file"):
        read_frame(tmp_path / "1.jpg")
