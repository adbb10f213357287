"""Masks of other tools: arrays, stacks, polygons, run lengths; and broken or hostile files."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from aot_jax import read_masks
from aot_jax.io.mask_sets.shapes import decode_runs, fill
from aot_jax.io.masks import MaskError, write_mask
from aot_jax.io.sources import open_source
from aot_jax.video.exports import open_export

SIZE = (48, 64)
BOX = np.s_[10:30, 20:50]  # rows, columns
CORNERS = [[20, 10], [50, 10], [50, 30], [20, 30]]
RING = [20, 10, 50, 10, 50, 30, 20, 30]


def boxes(*ids):
    labels = np.zeros(SIZE, np.int32)
    for number, i in enumerate(ids):
        labels[2 + 15 * number : 12 + 15 * number, 5:25] = i
    return labels


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for t in range(4):
        Image.fromarray(np.full((*SIZE, 3), 40 * t, np.uint8)).save(folder / f"{t:05d}.jpg")
    return folder


def one(path, frames=None):
    masks = read_masks(path, frames)
    assert len(masks) == 1
    return next(iter(masks.values())), masks


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_arrays_of_ids(tmp_path, dtype):
    labels = boxes(1) if dtype is bool else boxes(1, 3)
    np.save(tmp_path / "m.npy", labels.astype(dtype))
    np.testing.assert_array_equal(one(tmp_path / "m.npy")[0], labels)


def test_arrays_of_other_kinds(tmp_path, frames):
    path = tmp_path / "m.npy"
    np.save(path, (boxes(1) * 255).astype(np.uint8)[None])
    np.testing.assert_array_equal(one(path)[0], boxes(1))
    np.save(path, boxes(1) * np.float32(0.8) + np.float32(0.1))
    found, masks = one(path)
    np.testing.assert_array_equal(found, boxes(1))
    assert masks.notes == (f"{path}: probabilities are cut at 0.5",)
    layers = np.stack([boxes(1, 0) > 0, boxes(0, 1) > 0])
    np.save(path, layers)
    found, masks = one(path, frames)
    np.testing.assert_array_equal(found, boxes(1, 2))
    assert "2 layers are taken for objects 1 to 2" in masks.notes[0]
    np.save(path, np.stack([boxes(7), boxes(0), boxes(0, 7), boxes(7, 9)]))
    masks = read_masks(path, frames)
    assert (list(masks), masks.ids) == ([f"{t:05d}" for t in range(4)], (7, 9))
    np.testing.assert_array_equal(masks[2], boxes(0, 7))


def test_arrays_that_are_no_masks(tmp_path):
    path = tmp_path / "m.npy"
    for array, finding in (
        (np.array([{}], object), "cannot be read"),
        (np.zeros((2, 3, 4, 5)), r"shape \(2, 3, 4, 5\)"),
        (np.zeros(7), r"shape \(7,\)"),
        (np.array([[-1, 2]]), "ids from -1 to 2"),
        (np.array([[0.5, 7]]), "holds fractions"),
        (np.array([[np.nan, 7]]), "NaN"),
        (np.arange(300).reshape(3, 10, 10), "3 layers that are neither"),
        (np.array([["a"]]), "values of type"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(MaskError, match=rf"^{re.escape(str(path))}: .*{finding}"):
            one(path)
    whole = path.read_bytes()
    np.save(path, np.zeros((1 << 14, 1 << 14), np.uint8)[:1])
    header = path.read_bytes()[:128].replace(b"(1, 16384)", b"(9999, 99)")
    for content in (whole[:40], b"", b"\x93NUMPY\x01\x00", header):
        path.write_bytes(content)
        with pytest.raises(MaskError, match="cannot be read"):
            one(path)


@pytest.mark.parametrize("kind", ["tif", "bmp", "webp"])
def test_images_of_other_kinds(tmp_path, kind):
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(boxes(1, 2).astype(np.uint8) * np.uint8(90 if kind == "webp" else 1)).save(
        tmp_path / f"m.{kind}", **options
    )
    found = one(tmp_path / f"m.{kind}")[0]
    np.testing.assert_array_equal(found, boxes(90, 180) if kind == "webp" else boxes(1, 2))


def test_a_tiff_of_floats(tmp_path):
    Image.fromarray(boxes(2, 7).astype(np.float32)).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(one(tmp_path / "m.tif")[0], boxes(2, 7))
    Image.fromarray(boxes(2).astype(np.float32) / 4).save(tmp_path / "m.tif")
    with pytest.raises(MaskError, match=r"m\.tif: holds fractions"):
        one(tmp_path / "m.tif")


def test_a_stack_of_pages(tmp_path, frames):
    pages = [Image.fromarray(boxes(*ids).astype(np.uint8)) for ids in ((5,), (5, 6), (0, 6), (6,))]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    masks = read_masks(tmp_path / "m.tif", frames)
    assert (masks.ids, len(masks)) == ((5, 6), 4)
    np.testing.assert_array_equal(masks[1], boxes(5, 6))


def test_one_file_an_object(tmp_path, frames):
    folder = tmp_path / "objects"
    folder.mkdir()
    for name, labels in (("object_2", boxes(0, 1)), ("object_7", boxes(1))):
        Image.fromarray((labels * 255).astype(np.uint8)).save(folder / f"{name}.png")
    for given in (folder, sorted(folder.iterdir())):
        found, masks = one(given, frames)
        np.testing.assert_array_equal(found, boxes(7, 2))
        assert masks.ids == (2, 7)
        assert (
            "2 masks are taken for one object each, on frame 0: object_2.png is 2, object_7.png is 7" in masks.notes[0]
        )
    (folder / "object_2.png").rename(folder / "dog.png")
    (folder / "object_7.png").rename(folder / "cat.png")
    np.testing.assert_array_equal(one(folder, frames)[0], boxes(1, 2))
    write_mask(folder / "cat.png", boxes(1, 2))
    with pytest.raises(MaskError, match=r"named like its frame, as in 00000\.png, or shows one object"):
        read_masks(folder, frames)


@pytest.mark.parametrize(
    "name",
    [
        "{object}/{frame:05d}.png",
        "{frame:05d}/cat_{object}.png",
        "{frame:05d}_{object}.png",
        "o{object}f{frame:05d}.png",
    ],
)
def test_one_file_for_each_object_of_each_frame(tmp_path, frames, name):
    shown = {(4, 0): boxes(1), (9, 0): boxes(0, 1), (9, 3): boxes(0, 1)}
    for (number, frame), labels in shown.items():
        path = tmp_path / "masks" / name.format(object=number, frame=frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((labels * 255).astype(np.uint8)).save(path)
    masks = read_masks(tmp_path / "masks", frames)
    assert (masks.ids, list(masks)) == ((4, 9), ["00000", "00003"])
    np.testing.assert_array_equal(masks[0], boxes(4, 9))
    np.testing.assert_array_equal(masks[3], boxes(0, 9))
    assert "a mask for each object: this is object" in masks.notes[0]


def test_one_array_of_an_npz(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", a=boxes(2))
    np.testing.assert_array_equal(one(tmp_path / "m.npz")[0], boxes(2))
    np.savez_compressed(tmp_path / "m.npz", a=boxes(2), b=boxes(2))
    with pytest.raises(MaskError, match="holds 2 arrays, a, b; save one"):
        one(tmp_path / "m.npz")


def test_segments_and_boxes(tmp_path, frames):
    runs = [{"size": list(SIZE), "counts": [48 * k, 48, 48 * (63 - k)]} for k in (0, 5)]
    found, masks = one(dump(tmp_path / "a.json", [{"segmentation": segment, "area": 48} for segment in runs]), frames)
    assert (found[0, 0], found[0, 5], masks.ids) == (1, 2, (1, 2))
    box = {"image_id": 0, "category_id": 3, "segmentation": [], "bbox": [20, 10, 30, 20]}
    found, masks = one(dump(tmp_path / "a.json", coco(["00001.jpg"], [box])), frames)
    assert (found[BOX] == 1).all()
    assert found.sum() == 600
    assert "1 cat (a box)" in masks.notes[0]


def labelme(*shapes, size=SIZE, image="00002.jpg"):
    return {"imagePath": image, "imageHeight": size[0], "imageWidth": size[1], "shapes": list(shapes)}


def shape(label, points, kind="polygon", group=None, **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": group, **more}


def dump(path, data):
    path.write_text(json.dumps(data), encoding="utf-8-sig")
    return path


def test_labelme(tmp_path, frames):
    png = io.BytesIO()
    Image.fromarray(np.full((4, 6), True)).save(png, "PNG")
    encoded = base64.b64encode(png.getvalue()).decode()
    path = dump(
        tmp_path / "any.json",
        labelme(
            shape("dog", CORNERS),
            shape("cat", [[2, 40], [8, 46]], "rectangle", group=1),
            shape("cat", [[12, 40], [18, 46]], "rectangle", group=1),
            shape("dög", [[56, 40], [56, 44]], "circle"),
            shape("fly", [[30, 40], [35, 43]], "mask", mask=encoded),
            shape("x", [[1, 1]], "point"),
        ),
    )
    found, masks = one(path, frames)
    assert list(masks) == ["00002"]
    assert (found[BOX] == 1).all()
    assert [(found == i).sum() for i in (1, 2, 4)] == [600, 72, 24]
    assert abs((found == 3).sum() - np.pi * 16) < 4
    assert masks.notes[0] == f"{path}: 1 points have no area and are left out"
    assert masks.notes[1] == f"{path}: objects are numbered as drawn: 1 dog, 2 cat, 3 dög, 4 fly"


def test_labels_are_one_object_in_all_files(tmp_path, frames):
    for t, shapes in enumerate(
        ([shape("cat", CORNERS)], [shape("dog", CORNERS[:3]), shape("cat", [[0, 0], [9, 0], [9, 9]])])
    ):
        dump(frames / f"{t:05d}.json", labelme(*shapes, image=f"{t:05d}.jpg"))
    masks = read_masks(frames, frames)
    assert masks.ids == (1, 2)
    assert masks[1][2, 8] == masks[0][20, 30] == 1


def coco(images, annotations):
    return {
        "images": [{"id": i, "file_name": name, "height": SIZE[0], "width": SIZE[1]} for i, name in enumerate(images)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 4, "name": "dog"}],
        "annotations": annotations,
    }


def note_of(image, category=3, segmentation=None, **more):
    return {"image_id": image, "category_id": category, "segmentation": segmentation or [RING], **more}


def test_coco_polygons_and_runs(tmp_path, frames):
    runs = {"size": list(SIZE), "counts": [0, 48 * 3, 48 * 61]}
    path = dump(tmp_path / "coco.json", coco(["00001.jpg"], [note_of(0), note_of(0, segmentation=runs)]))
    found, masks = one(path, frames)
    assert list(masks) == ["00001"]
    assert (found[:, :3] == 2).all()
    assert (found[BOX] == 1).all()
    assert "1 cat, 2 cat" in masks.notes[0]


def test_coco_objects_over_time(tmp_path, frames):
    images = ["00000.jpg", "00003.jpg", "other/77.jpg"]
    path = dump(
        tmp_path / "a.json", coco(images, [note_of(0), note_of(1, 4, [[0, 0, 9, 0, 9, 9]]), note_of(1), note_of(2)])
    )
    masks = read_masks(path, frames)
    assert (masks[0][20, 30], masks[3][20, 30], masks.ids) == (1, 1, (1, 2))  # a category is an object
    assert "1 of its 3 annotated images are no frames" in masks.notes[0]
    dump(path, coco(images, [note_of(0, track_id=8), note_of(1, attributes={"track_id": 8})]))
    assert read_masks(path, frames).ids == (8,)
    dump(path, coco(images, [note_of(0), note_of(1), note_of(1)]))
    with pytest.raises(MaskError, match=r"no track_id\), and image 00003.jpg has 2 of category cat"):
        read_masks(path, frames)


def test_youtube_vis(tmp_path, frames):
    video = {"id": 1, "height": SIZE[0], "width": SIZE[1], "file_names": [f"clip/{t:05d}.jpg" for t in range(4)]}
    segmentations = [None, [RING], None, None]
    objects = [{"video_id": 1, "category_id": 3, "segmentations": segmentations}]
    masks = read_masks(dump(tmp_path / "a.json", {"videos": [video], "annotations": objects}), frames)
    assert list(masks) == ["00001"]
    assert (masks[1][BOX] == 1).all()


def test_yolo(tmp_path, frames):
    text = "0 " + " ".join(f"{x / 64} {y / 48}" for x, y in CORNERS) + "\n\n5 0.0625 0.9 0.125 0.1\n"
    (tmp_path / "00003.txt").write_text(text)
    found, masks = one(tmp_path / "00003.txt", frames)
    assert list(masks) == ["00003"]
    assert (found[BOX] == 1).all()
    assert (found[41:45, :8] == 2).all()
    assert "1 class 0, 2 class 5 (a box)" in masks.notes[0]
    with pytest.raises(MaskError, match="says nothing of its image's size; give the frames too"):
        read_masks(tmp_path / "00003.txt")
    for line in ("0 1 2", "cat 0 0 1 1", "0 20 10 50 10 50 30"):
        (tmp_path / "00003.txt").write_text(line)
        with pytest.raises(MaskError, match="line 1 is no YOLO annotation"):
            read_masks(tmp_path / "00003.txt", frames)


@pytest.mark.parametrize("name", ["coco", "yolo", "davis"])
def test_exports_are_read_back(tmp_path, frames, name):
    source, shown = open_source([frames]), [boxes(3), boxes(3, 12), boxes(0, 12), boxes(0, 12, 3)]
    with open_export(name, tmp_path / "out", source, (3, 12)) as export:
        for frame, labels in zip(source.frames(), shown, strict=True):
            export.add(frame, labels)
    there = {"coco": "coco.json", "yolo": "yolo", "davis": "DAVIS"}[name]
    masks = read_masks(tmp_path / "out" / there, source)
    assert masks.ids == (3, 12)
    for t, labels in enumerate(shown):
        np.testing.assert_array_equal(masks[t], labels)


def polygon(*points):
    return [float(value) for point in points for value in point]


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        ("[" * 100_000, "cannot be read as annotations"),
        ("{}", "neither COCO's JSON"),
        ("[1]", "neither COCO's JSON"),
        (json.dumps({"images": [], "annotations": []}), "holds no annotated image"),
        (json.dumps({"images": [{"id": 0}], "annotations": [note_of(0)]}), "cannot be read as annotations"),
        (json.dumps(labelme(shape("a", CORNERS), size=(10**9, 10**9))), "empty or more than"),
        (json.dumps(labelme(shape("a", [[float("nan"), 1], [2, 3], [4, 5]]))), "cannot be drawn"),
        (json.dumps(labelme(shape("a", [[float("inf"), 1], [2, 3], [4, 5]]))), "cannot be drawn"),
        (json.dumps(labelme(shape("a", CORNERS, "mask", mask="!"))), "cannot be"),
        (json.dumps(coco(["a.jpg"], [note_of(0, segmentation={"size": [48, 64], "counts": "~~~~"})])), "run lengths"),
        (json.dumps(coco(["a.jpg"], [note_of(0, segmentation={"size": [48, 64], "counts": [10**12]})])), "do not fill"),
        (json.dumps(coco(["a.jpg"], [note_of(0, segmentation={"size": [9**9] * 2, "counts": [1]})])), "its size is"),
        (json.dumps(coco(["a.jpg"], [note_of(0, segmentation=[[1, 2, 3]])])), "cannot be drawn"),
        (json.dumps(labelme(shape("a", CORNERS), size=(64, 48))), "it lies on its side"),
    ],
)
def test_broken_annotations_are_one_line(tmp_path, frames, data, finding):
    path = tmp_path / "a.json"
    path.write_text(data)
    with pytest.raises(MaskError, match=rf"^{re.escape(str(path))}.*{finding}") as error:
        read_masks(path, frames)
    assert "\n" not in str(error.value)


def test_fill_takes_pixels_whose_centre_is_inside():
    triangle = np.array([[0, 0], [4, 0], [0, 4]])
    assert fill([triangle], (4, 4)).astype(int).tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    ring = [np.array([[-9, -9], [9, -9], [9, 9], [-9, 9]]), np.array([[1, 1], [2, 1], [2, 2]])]
    assert fill(ring, (3, 5)).all()


def test_runs_of_other_lengths_are_refused():
    assert decode_runs([1, 2, 3], (2, 3)).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]
    for counts in ([1, 2], [7, -1], ["6"], [6.0], "0"):
        with pytest.raises(ValueError, match="run lengths"):
            decode_runs(counts, (2, 3))
