"""Prompts: frames of masks by name and number, boxes, and errors with a remedy."""

from fractions import Fraction

import clips
import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.io.frames import FrameError
from aot_jax.io.masks import MaskError, write_mask
from aot_jax.io.sources import ImageSource, open_source
from aot_jax.io.video_reader import Frame
from aot_jax.video.prompts import draw_boxes, read_prompts

SIZE = (24, 32)


class Video:
    """Source with the frame names of a video file, without a file."""

    name, size, count, expected = "clip", SIZE, 20, 20

    def label(self, index):
        return f"{index:05d}"

    def index_of(self, label):
        return int(label) if label.isdecimal() else None


def save(folder, name, ids=(1,), size=SIZE):
    path = folder / name
    write_mask(path, tiny.mask(*size, ids) if ids else np.zeros(size, int))
    return str(path)


def test_a_single_mask_belongs_to_the_first_frame_or_to_the_one_it_is_named_by(tmp_path):
    assert read_prompts(Video(), [save(tmp_path, "first_frame.png")]).first == 0
    assert read_prompts(Video(), [save(tmp_path, "00007.png")]).first == 7
    assert read_prompts(Video(), [save(tmp_path, "7.png")]).first == 7
    assert read_prompts(Video(), [save(tmp_path, "00007.png")], frame=3).first == 3
    assert read_prompts(Video(), [save(tmp_path, "first.png")], frame=3).first == 3


@pytest.mark.parametrize(
    ("name", "frame", "told"),
    [
        ("frame_000012.png", 12, "put on frame 12 by its number (the first is 0)"),
        ("Frame (12).png", 12, "put on frame 12 by its number"),
        ("frame12.png", 12, "put on frame 12 by its number"),
        ("clip_00012.png", 12, "put on frame 12 by its number"),
        ("clip12.png", 12, "put on frame 12 by its number"),
        ("shot_00012.png", 12, "put on frame 12 by its number"),
        ("00012_mask.png", 12, None),
        ("frame_000000000012.png", 12, "put on frame 12 by its number"),
        ("0000000012.png", 12, "put on frame 12 by its number"),
        ("1.png", 1, "put on frame 1 by its number (the first is 0)"),
        ("mask1.png", 0, "put on the first frame, 0"),
        ("person 2.png", 0, "put on the first frame, 0"),
        ("20240131.png", 0, "put on the first frame, 0"),
        ("IMG_20240131.png", 0, "put on the first frame, 0"),
        ("first_frame.png", 0, None),
    ],
)
def test_the_number_in_a_name_is_used_and_told(tmp_path, name, frame, told):
    warnings = []
    prompts = read_prompts(Video(), [save(tmp_path, name)], warn=warnings.append)
    assert (prompts.first, prompts.last) == (frame, frame)
    assert [told in warning for warning in warnings] == [True] * (told is not None)


@pytest.mark.parametrize(
    ("names", "on", "told"),
    [
        (["frame_000000.png", "frame_000012.png"], [0, 12], "put on frame 0 by its number, and the others likewise"),
        (["00003_mask.png", "00004_mask.png"], [3, 4], None),
        (["mask_3.png", "mask_12.png"], [3, 12], "put on frame 3 by its number"),
        ([f"{t:04d}.png" for t in range(1, 21)], list(range(20)), "numbered from 1 to 20: this one is put on frame 0"),
    ],
)
def test_numbers_of_several_masks(tmp_path, names, on, told):
    warnings = []
    for name in names:
        save(tmp_path, name, (1, 2))
    prompts = read_prompts(Video(), [str(tmp_path)], warn=warnings.append)
    assert [t for t in range(20) if prompts.at(t) is not None] == on
    assert [told in warning for warning in warnings] == [True] * (told is not None)


def test_images_with_numbers_of_their_own(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for t in (5, 6, 7):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(frames / f"img{t}.jpg")
    source = open_source([frames])
    assert read_prompts(source, [save(tmp_path, "frame_000006.png")]).first == 1
    assert read_prompts(source, [save(tmp_path, "img7_mask.png")]).first == 2
    told = []
    assert read_prompts(source, [save(tmp_path, "frame_000002.png")], warn=told.append).first == 0
    assert "frame_000002.png: no frame has its number, 2: put on the first frame" in told[0]


def test_several_masks_are_matched_by_number(tmp_path):
    save(tmp_path, "00002.png", (1, 4))
    save(tmp_path, "00012.png", (9,))
    (tmp_path / "notes.txt").write_text("")
    for given in ([str(tmp_path)], [str(tmp_path / "*.png")], [str(p) for p in tmp_path.glob("*.png")]):
        prompts = read_prompts(Video(), given)
        assert (prompts.first, prompts.last, prompts.ids) == (2, 12, (1, 4, 9))
        np.testing.assert_array_equal(prompts.at(2), tiny.mask(*SIZE, (1, 4)))
        assert prompts.at(3) is None
    moved = tmp_path / "00012.png"
    before = read_prompts(Video(), [str(tmp_path)]).digest
    moved.rename(tmp_path / "00013.png")
    assert read_prompts(Video(), [str(tmp_path)]).digest != before


def test_masks_of_images_are_matched_by_name(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("shot_8.png", "shot_9.png", "shot_10.png"):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(frames / name)
    source = open_source([frames])
    assert read_prompts(source, [save(tmp_path, "shot_10.png")]).first == 2
    assert read_prompts(source, [save(tmp_path, "00002.png")]).first == 0
    with pytest.raises(
        MaskError, match=r"00002\.png: of several masks each is named like its frame, as in shot_8\.png"
    ):
        read_prompts(source, [str(tmp_path / "shot_10.png"), str(tmp_path / "00002.png")])


def test_colours_mean_the_same_in_all_masks_of_a_video(tmp_path):
    pink, lime, sky = (250, 10, 200), (10, 250, 10), (90, 160, 250)
    for name, colours in (("00000.png", [pink, lime]), ("00005.png", [sky, pink])):
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[:, :10], pixels[:, 20:] = colours
        Image.fromarray(pixels).save(tmp_path / name)
    prompts = read_prompts(Video(), [str(tmp_path)])
    first, later = prompts.at(0), prompts.at(5)
    assert (first[0, 0], first[0, 31]) == (2, 1)
    assert (later[0, 0], later[0, 31]) == (3, 2)
    assert prompts.ids == (1, 2, 3)
    np.testing.assert_array_equal(prompts.at(0), first)


def test_255_is_void_beside_other_ids_and_an_object_alone(tmp_path):
    alone, beside, wide = (tmp_path / f"{name}.png" for name in ("alone", "beside", "wide"))
    write_mask(alone, np.where(tiny.mask(*SIZE, (1,)), 255, 0))
    write_mask(beside, tiny.mask(*SIZE, (1, 255)))
    write_mask(wide, tiny.mask(*SIZE, (255, 300)))
    assert read_prompts(Video(), [str(alone)]).ids == (1,)
    assert read_prompts(Video(), [str(beside)]).ids == (1,)
    assert read_prompts(Video(), [str(wide)]).ids == (255, 300)


def test_masks_without_objects(tmp_path):
    empty = save(tmp_path, "00000.png", ())
    with pytest.raises(MaskError, match=r"00000\.png: has no object, every pixel is 0"):
        read_prompts(Video(), [empty])
    save(tmp_path, "00003.png")
    warnings = []
    assert read_prompts(Video(), [str(tmp_path)], warn=warnings.append).first == 3
    assert warnings == [f"1 of 2 masks have no object and are left out, {empty} for one"]


@pytest.mark.parametrize(
    ("given", "finding"),
    [
        ({}, "which objects\\? Give their mask"),
        ({"masks": ["none.png"]}, r"none\.png: no such file"),
        ({"masks": ["none*.png"]}, "holds no mask"),
        ({"masks": ["a.png"], "boxes": ["1,1,4,4"]}, "one or the other, not both"),
        ({"masks": ["a.png"], "frame": 40}, "there is no frame 40: clip has 20 frames"),
        ({"masks": ["a.png"], "frame": -1}, "there is no frame -1"),
        ({"masks": ["00001.png", "00002.png"], "frame": 1}, "--mask_frame goes with one mask, but 2 are given"),
        ({"masks": ["00001.png", "1.png"]}, "are both for frame 1"),
        ({"masks": ["large.png"]}, r"the mask is 32x32, but 32x24 \(width x height\) is needed"),
    ],
)
def test_refusals(tmp_path, monkeypatch, given, finding):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "00001.png", "00002.png", "1.png"):
        save(tmp_path, name)
    save(tmp_path, "large.png", size=(32, 32))
    with pytest.raises(MaskError, match=finding):
        read_prompts(Video(), **given)


def test_boxes_are_filled_and_cut_to_the_frame():
    warnings = []
    labels = draw_boxes(["2,3,5,4", "30.4,20,99,99"], SIZE, warnings.append)
    assert np.argwhere(labels == 1).tolist() == [[3, 2], [3, 3], [3, 4]]
    assert np.argwhere(labels == 2)[[0, -1]].tolist() == [[20, 30], [23, 31]]
    assert warnings == ["--box 30.4,20,99,99: cut to the frame, 30,20,32,24"]
    prompts = read_prompts(Video(), boxes=["2,3,5,4"], frame=6)
    assert (prompts.first, prompts.ids) == (6, (1,))


@pytest.mark.parametrize(
    ("box", "finding"),
    [
        ("1,2,3", "a box is x0,y0,x1,y1"),
        ("a,b,c,d", "a box is x0,y0,x1,y1"),
        ("nan,0,1,1", "a box is x0,y0,x1,y1"),
        ("inf,0,1,1", "a box is x0,y0,x1,y1"),
        ("5,5,5,9", "x0,y0 is its upper left corner"),
        ("40,0,50,9", "lies outside of the frame, which is 32x24"),
    ],
)
def test_boxes_that_are_none(box, finding):
    with pytest.raises(MaskError, match=finding) as error:
        draw_boxes([box], SIZE)
    assert box in str(error.value)


def test_folders_globs_and_lists_of_images(tmp_path):
    for i in (2, 10, 1):
        Image.fromarray(np.full((*SIZE, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    for given in ([tmp_path], [tmp_path / "*.png"], [tmp_path / f"{i}.png" for i in (10, 1, 2)]):
        source = open_source(given, rate=12.5)
        assert isinstance(source, ImageSource)
        assert (source.name, source.size, source.count, source.rate) == (tmp_path.name, SIZE, 3, 12.5)
        assert [(f.index, f.time, f.pixels[0, 0, 0]) for f in source.frames(1)] == [
            (1, Fraction(2, 25), 2),
            (2, Fraction(4, 25), 10),
        ]
        assert [frame.pixels[0, 0, 0] for frame in source.backward(2)] == [2, 1]
    assert isinstance(next(open_source([tmp_path / "2.png"]).frames()), Frame)
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(tmp_path / "11.png")
    with pytest.raises(FrameError, match=r"11\.png: this image is 5x5, but the first one, 1\.png, is 32x24"):
        list(open_source([tmp_path]).frames())
    for given, finding in (
        ([tmp_path / "no*"], "no file has such a name"),
        ([tmp_path / "2.png", tmp_path / "a.mp4"], "several files make a video only if all are images"),
        ([tmp_path / "none"], "no such file"),
    ):
        with pytest.raises(FrameError, match=finding):
            open_source(given)
    for rate in (0, -1, 1e-4, float("inf"), float("nan")):
        with pytest.raises(FrameError, match=r"give one of at least 0\.001"):
            open_source([tmp_path], rate=rate)


def test_a_pattern_of_ffmpeg_is_told_as_a_glob(tmp_path):
    with pytest.raises(FrameError, match=r"%05d\.jpg: no such file; give the folder of the images, or '.*/\*\.jpg'$"):
        open_source([tmp_path / "%05d.jpg"])


def test_a_rate_is_for_images(tmp_path):
    path, warnings = clips.write_clip(tmp_path / "a.mp4", 3), []
    assert open_source([path], rate=5, warn=warnings.append).rate == 24
    assert warnings == [f"{path}: states its own frame rate; the one given is for images, and not used"]


def test_an_object_that_others_cover_is_told(tmp_path):
    for name, width in (("object_1.png", 8), ("object_2.png", 16)):
        drawn = np.zeros(SIZE, np.uint8)
        drawn[4:12, :width] = 255
        Image.fromarray(drawn).save(tmp_path / name)
    notes: list[str] = []
    prompts = read_prompts(Video(), [str(tmp_path / "object_*.png")], warn=notes.append)
    assert prompts.ids == (2,)
    assert notes[-1] == "objects [1] are not tracked: their masks are empty, or those of other objects cover them"


def test_masks_of_frames_that_the_file_does_not_count(tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 160, SIZE, container={"movflags": "frag_keyframe"})
    stated = open_source([path]).expected
    assert 1 < stated < 9
    ids = np.stack([tiny.mask(*SIZE, (1 + t % 2,)) for t in range(160)])
    np.save(tmp_path / "all.npy", ids)
    late = save(tmp_path, "00159.png")
    several = [save(tmp_path / "several", f"{number:05d}.png") for number in (1, stated)]
    for given, frames in (([late], [159]), ([str(tmp_path / "all.npy")], [*range(160)]), (several, [1, stated])):
        prompts = read_prompts(open_source([path]), given)
        assert (prompts.first, prompts.last) == (frames[0], frames[-1])
    assert read_prompts(open_source([path]), [save(tmp_path, "IMG_1234.png")]).first == 0
