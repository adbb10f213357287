"""Listing of raw data sets: frame order, case of suffixes, name lists as saved by editors."""

import pytest
from PIL import Image

from aot_jax.io import datasets
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import list_frames


def save(root, video, names, mask_names=None):
    for part, files in (
        ("JPEGImages", names),
        ("Annotations", mask_names or [n.split(".")[0] + ".png" for n in names]),
    ):
        folder = root / part / video
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            Image.new("L", (8, 8), 1).save(folder / name, "PNG" if name.lower().endswith("png") else "JPEG")


def stems(video):
    return [pair.name for pair in video.frames]


def test_frames_are_in_the_order_of_tracking(tmp_path):
    names = [f"{t}.jpg" for t in range(1, 13)]
    save(tmp_path, "clip", names)
    save(tmp_path, "480p/clip", names)
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/train.txt").write_text("clip\n")
    tracked = [path.stem for path in list_frames(tmp_path / "JPEGImages" / "clip")]
    assert tracked == [str(t) for t in range(1, 13)]
    assert stems(datasets.davis(tmp_path, 2017).videos[0]) == tracked
    assert stems(datasets.static(tmp_path).videos[-1]) == ["12"]
    for part in ("JPEGImages", "Annotations"):
        (tmp_path / part / "480p").rename(tmp_path / f"{part}_480p")
    assert stems(datasets.own_videos(tmp_path).videos[0]) == tracked


def test_letter_case_of_suffixes_does_not_matter(tmp_path):
    save(tmp_path, "clip", ["0.JPG", "1.Jpeg"], ["0.PNG", "1.png"])
    pairs = datasets.own_videos(tmp_path).videos[0].frames
    assert [(pair.image.name, pair.mask.name) for pair in pairs] == [("0.JPG", "0.PNG"), ("1.Jpeg", "1.png")]


def test_one_frame_twice_is_an_error(tmp_path):
    save(tmp_path, "clip", ["0.jpg", "0.jpeg"], ["0.png"])
    with pytest.raises(DataError, match=r"0\.jpeg and 0\.jpg would be one frame twice"):
        datasets.own_videos(tmp_path)


def test_files_without_a_partner_are_listed(tmp_path):
    save(tmp_path, "clip", ["0.jpg", "1.jpg"], ["1.png", "2.png"])
    pairs = datasets.own_videos(tmp_path).videos[0].frames
    assert [(pair.name, pair.image is not None, pair.mask is not None) for pair in pairs] == [
        ("0", True, False),
        ("1", True, True),
        ("2", False, True),
    ]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        (b"my dog\n\n  b  \na\n", ["my dog", "b", "a"]),
        ("\u00e9t\u00e9\n".encode(), ["\u00e9t\u00e9"]),
        (b"/JPEGImages/480p/my dog/00000.jpg /Annotations/480p/my dog/00000.png\n" * 2, ["my dog"]),
        (b"JPEGImages/480p/bear/00000.jpg\n/JPEGImages/480p/cat/0.jpg x 1\n", ["bear", "cat"]),
    ],
    ids=["byte-order mark", "blanks", "accents", "pairs of paths", "paths"],
)
def test_lists_are_read_as_editors_save_them(tmp_path, content, names):
    (tmp_path / "val.txt").write_bytes(content)
    assert datasets.read_names(tmp_path / "val.txt") == names


def test_lists_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "val.txt").write_bytes("\u00e9t\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"val\.txt: cannot be read .*save it as UTF-8"):
        datasets.read_names(tmp_path / "val.txt")
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"val\.txt: lists no video"):
        datasets.read_names(tmp_path / "val.txt")
    with pytest.raises(DataError, match=r"unknown dataset 'davis18'; use davis16, davis17"):
        datasets.find("davis18", tmp_path)


def test_what_lies_beside_frames_is_left_out_as_in_tracking_and_told(tmp_path):
    names = [f"{t}.jpg" for t in range(3)]
    save(tmp_path, "clip", [*names, *(f"{t}_depth.png" for t in range(3))], [f"{t}.png" for t in range(3)])
    (video,) = datasets.own_videos(tmp_path).videos
    assert stems(video) == ["0", "1", "2"]
    assert len(video.notes) == 1
    assert video.notes[0].startswith(f"{tmp_path}/JPEGImages/clip/0_depth.png and 2 like it: no frame")
    assert len(datasets.static(tmp_path).videos) == 6


def test_masks_are_listed_whatever_kind_of_image_they_are(tmp_path):
    save(tmp_path, "clip", ["0.jpg", "1.jpg"])
    Image.new("L", (8, 8), 1).save(tmp_path / "Annotations/clip/1.TIFF")
    (tmp_path / "Annotations/clip/1.png").unlink()
    assert [path.name for path in datasets.list_masks(tmp_path / "Annotations/clip").values()] == ["0.png", "1.TIFF"]


def test_masks_numbered_from_another_frame_than_the_images_are_told(tmp_path):
    save(tmp_path, "clip", [f"{t:05d}.jpg" for t in range(4)], [f"{t:05d}.png" for t in range(1, 5)])
    save(tmp_path, "late", [f"{t:05d}.jpg" for t in range(4)], ["00002.png"])
    shifted, late = datasets.own_videos(tmp_path).videos
    assert shifted.notes == (
        f"{tmp_path}/Annotations/clip: numbered from 00001, the images from 00000; frames are matched by name: "
        "if they show the same, rename one",
    )
    assert late.notes == ()


def test_jpegs_are_masks_where_there_is_no_other_image(tmp_path):
    save(tmp_path, "clip", ["0.jpg", "1.jpg"], ["0.jpg", "1.JPG"])
    assert [pair.mask.name for pair in datasets.own_videos(tmp_path).videos[0].frames] == ["0.jpg", "1.JPG"]
    Image.new("L", (8, 8), 1).save(tmp_path / "Annotations" / "clip" / "0.png")
    assert list(datasets.list_masks(tmp_path / "Annotations" / "clip")) == ["0"]
    Image.new("L", (8, 8), 1).save(tmp_path / "Annotations" / "cover.jpg")
    assert datasets.list_masks(tmp_path / "Annotations") == {}
