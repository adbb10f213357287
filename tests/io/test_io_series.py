"""Which images are frames of a video, and in what order: other files in the folder, animations, ambiguous names."""

import re

import clips
import numpy as np
import pytest
from PIL import Image

from aot_jax.io.frames import FrameError, list_frames, order_frames
from aot_jax.io.masks import write_mask
from aot_jax.io.sources import open_source
from aot_jax.io.stacks import Stack

SIZE = (24, 32)


def picture(number, size=SIZE):
    """Return a frame with many colours; its first pixel holds its number."""
    ys, xs = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([ys * 255 // size[0], xs * 255 // size[1], (ys * xs) % 251], -1).astype(np.uint8)
    pixels[:8, :8] = 10 * number
    return pixels


def mask(size=SIZE):
    labels = np.zeros(size, np.uint8)
    labels[4:9, 5:12] = 1
    return labels


def save(folder, *names, pixels=None, **options):
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.fromarray(picture(number) if pixels is None else pixels).save(folder / name, **options)


def frames(folder, pattern="{:05d}.jpg", count=4):
    save(folder, *(pattern.format(t) for t in range(count)), quality=95)
    return folder


def listed(folder):
    notes = []
    return [path.name for path in list_frames(folder, warn=notes.append)], notes


@pytest.mark.parametrize(
    ("beside", "pixels"),
    [
        ("first_mask.png", np.repeat(mask()[..., None], 3, 2) * np.uint8(255)),
        ("00002_depth.png", picture(0)),
        ("Thumbnail.jpg", picture(0)),
        ("first.png", mask()),  # no word in its name, but grey
        ("first.png", np.array([(0, 0, 0), (250, 10, 10)], np.uint8)[mask()]),  # few colours
        ("first.bmp", picture(0, (8, 8))),  # another size
    ],
)
def test_what_lies_beside_frames_is_no_frame_and_told(tmp_path, beside, pixels):
    save(frames(tmp_path / "clip"), beside, pixels=pixels)
    names, notes = listed(tmp_path / "clip")
    assert names == [f"{t:05d}.jpg" for t in range(4)]
    assert notes == [f"{tmp_path / 'clip' / beside}: no frame, and left out, beside 4 images like 00000.jpg"]


@pytest.mark.parametrize("names", ["frame_{:03d}_mask.png", "seg{:05d}.png", "{:05d}-mask.jpg", "m{:05d}.png"])
def test_a_mask_a_frame_beside_the_frames(tmp_path, names):
    frames(tmp_path / "clip", "frame_{:03d}.jpg")
    for t in range(4):
        save(tmp_path / "clip", names.format(t), pixels=mask())
    shown, notes = listed(tmp_path / "clip")
    assert shown == [f"frame_{t:03d}.jpg" for t in range(4)]
    assert notes == [
        f"{tmp_path / 'clip' / names.format(0)} and 3 like it: no frame, and left out, beside 4 images like "
        "frame_000.jpg"
    ]


def test_words_and_kinds_that_all_frames_have_are_no_reason(tmp_path):
    assert len(listed(frames(tmp_path / "depth", "depth_{}.png"))[0]) == 4
    save(tmp_path / "drawn", *(f"{t}.png" for t in range(3)), pixels=mask())
    assert listed(tmp_path / "drawn") == (["0.png", "1.png", "2.png"], [])
    save(tmp_path / "masks", *(f"{t}_mask.png" for t in range(3)), "thumb.png", pixels=mask())
    assert len(list_frames(tmp_path / "masks", (".png",))) == 4  # asked for by suffix: all


def test_a_mask_that_is_given_is_no_frame(tmp_path):
    folder = frames(tmp_path / "clip")
    save(folder, "00007.jpg")
    source = open_source([folder], no_frames=[folder / "00007.jpg"])
    assert source.count == 4
    assert open_source([folder / "*.jpg"], no_frames=[folder / "00007.jpg"]).count == 4


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["shot_10.jpg", "shot_9.jpg", "a.jpg"], "differ in more than their number, as 'shot_#' and 'a'"),
        (["c.jpg", "b.jpg"], "hold no number"),
        (["1.jpg", "01.jpg", "2.jpg"], "have the same number twice"),
        (["t0.5.jpg", "t0.25.jpg"], "end in decimals of different lengths"),
        (["DSC_9999.jpg", "DSC_0001.jpg"], "go on from 9999 with small numbers"),
        (["cam1_0.jpg", "cam1_1.jpg", "cam2_0.jpg", "cam2_1.jpg"], "hold 2 series with the same last numbers"),
        (["2.jpg", "10.jpg", "1.jpg"], None),
        (["1_58.jpg", "1_59.jpg", "2_0.jpg"], None),
        (["1.0.jpg", "1.5.jpg", "2.0.jpg", "2.5.jpg"], None),
        (["Frame_2.jpg", "frame_10.jpg", "FRAME_1.JPG"], None),
        (["c.jpg"], None),
    ],
)
def test_names_that_leave_the_order_open_are_told(tmp_path, names, why):
    save(tmp_path / "clip", *names)
    shown, notes = listed(tmp_path / "clip")
    assert sorted(shown) == sorted(names)
    assert notes == (
        [] if why is None else [f"{tmp_path / 'clip'}: names of frames {why}" + notes[0].partition(why)[2]]
    )
    assert all(", ".join(shown) in note for note in notes)
    if why is None:
        assert [path.name for path in order_frames((tmp_path / "clip").iterdir())] == shown
        assert shown[0].lower() in ("1.jpg", "frame_1.jpg", "c.jpg", "1_58.jpg", "1.0.jpg")


def test_a_folder_with_a_video_in_it_is_refused(tmp_path):
    save(tmp_path / "take", "first.png", pixels=mask())
    clips.write_clip(tmp_path / "take" / "clip.MP4".lower(), 3)
    path = tmp_path / "take"
    with pytest.raises(
        FrameError, match=re.escape(f"{path}: holds the video clip.mp4 beside 1 other file: give {path}/c")
    ):
        open_source([path])
    with pytest.raises(FrameError, match=re.escape(f"or its images as '{path}/*.jpg'")):
        open_source([frames(path)])


def test_a_folder_without_images_says_what_is_there(tmp_path):
    for t in range(3):
        (tmp_path / f"{t}.HEIC").write_bytes(b"")
    with pytest.raises(FrameError, match=r"no \.jpg .* image in it, but 3 \.heic files; convert them to JPEG or PNG"):
        open_source([tmp_path])
    frames(tmp_path / "rgb")
    with pytest.raises(FrameError, match="and folders, as rgb; give the one that holds the images"):
        open_source([tmp_path])


@pytest.mark.parametrize("kind", ["webp", "bmp", "tif", "TIFF"])
def test_frames_of_other_kinds(tmp_path, kind):
    save(tmp_path / "clip", *(f"{t}.{kind}" for t in range(3)), **({"lossless": True} if kind == "webp" else {}))
    assert [frame.pixels[0, 0, 0] for frame in open_source([tmp_path / "clip"]).frames()] == [0, 10, 20]


def animate(path, count=5, **options):
    images = [Image.fromarray(picture(t)) for t in range(count)]
    images[0].save(path, save_all=True, append_images=images[1:], **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {"duration": 100}),
        ("a.webp", {"duration": 100, "lossless": True}),
        ("a.TIF", {}),
        ("a.apng", {"format": "png", "duration": 100}),
    ],
)
def test_an_animation_or_a_stack_is_taken_whole(tmp_path, name, options):
    source = open_source([animate(tmp_path / name, **options)])
    shown = list(source.frames())
    assert [frame.pixels[0, 0, 0] for frame in shown] == [0, 10, 20, 30, 40]
    assert [frame.index for frame in source.frames(3)] == [3, 4]
    assert [frame.pixels[0, 0, 0] for frame in source.backward(4)] == [30, 20, 10, 0]
    assert (source.size, source.name, source.label(2), source.index_of("00002")) == (SIZE, "a", "00002", 2)
    rate = 10 if options else 24
    assert shown[3].time == pytest.approx(3 / rate)


def test_pictures_of_an_animation_last_as_long_as_they_say(tmp_path):
    source = open_source([animate(tmp_path / "a.png", 3, duration=[100, 300, 50])])
    assert [float(frame.time) for frame in source.frames()] == [0, 0.1, 0.4]
    assert [float(frame.duration) for frame in source.frames()] == [0.1, 0.3, 0.05]  # the overlay holds the last one


def test_a_stack_of_a_microscope_keeps_its_upper_bits(tmp_path):
    pages = [Image.fromarray(picture(t)[..., 0].astype(np.uint16) << 4) for t in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    warnings = []
    source = open_source([tmp_path / "a.tif"], warn=warnings.append)
    assert [frame.pixels[0, 0].tolist() for frame in source.frames()] == [[0] * 3, [10] * 3, [20] * 3]
    assert warnings == [f"{tmp_path / 'a.tif'}: its first picture uses 12 of 16 bits: the upper 8 of these are taken"]


def test_pictures_of_several_sizes_and_broken_stacks_are_refused(tmp_path):
    images = [Image.fromarray(picture(0, size)) for size in (SIZE, SIZE, (9, 9))]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    with pytest.raises(FrameError, match=r"a\.tif: picture 2 is 9x9, but the first one is 32x24"):
        list(open_source([tmp_path / "a.tif"]).frames())
    path = animate(tmp_path / "b.png")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(FrameError, match=r"b\.png: cannot be read"):
        list(Stack(path, 24).frames())


def test_an_animation_among_frames_is_refused(tmp_path):
    animate(frames(tmp_path / "clip") / "00002.png")
    (tmp_path / "clip" / "00002.jpg").unlink()
    with pytest.raises(FrameError, match=r"00002\.png: holds 5 pictures, an animation or a stack: give it alone"):
        list(open_source([tmp_path / "clip"]).frames())
    (tmp_path / "one").mkdir()
    animate(tmp_path / "one" / "a.webp")
    with pytest.raises(FrameError, match=r"holds the video a\.webp: give"):
        open_source([tmp_path / "one"])


def test_a_single_frame_is_told(tmp_path):
    write_mask(tmp_path / "a.png", mask())
    warnings = []
    open_source([tmp_path / "a.png"], warn=warnings.append)
    assert warnings == [f"{tmp_path / 'a.png'}: a single frame, so there is nothing to track through"]
