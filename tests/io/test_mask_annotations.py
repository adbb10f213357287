"""Masks of annotation tools: labelme, COCO, YOLO; broken and hostile files."""

import base64
import io
import json
import re

import numpy as np
import pytest
from drawn import SIZE, boxes, one
from PIL import Image

from aot_jax import read_masks
from aot_jax.io.masks import MaskError
from aot_jax.io.sources import open_source
from aot_jax.video.exports import EXPORTS

BOX = np.s_[10:30, 20:50]  # rows, columns
CORNERS = [[20, 10], [50, 10], [50, 30], [20, 30]]
RING = [20, 10, 50, 10, 50, 30, 20, 30]


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
    assert masks.notes[0] == f"{path}: shapes without area are left out: 1 point"
    assert masks.notes[1] == f"{path}: objects are numbered as drawn: 1 dog, 2 cat, 3 dög, 4 fly"


def test_ignored_shapes_of_labelme_are_void_and_background_is_cut_out(tmp_path, frames):
    ignored, hole = (shape("__ignore__", CORNERS), shape("_background_", [[2, 2], [6, 6]], "rectangle", group=3))
    path = dump(tmp_path / "any.json", labelme(shape("dog", [[0, 0], [64, 12]], "rectangle"), ignored, hole))
    masks = read_masks(path, frames, void=255)
    expected = np.zeros(SIZE, int)
    expected[:12] = 1
    expected[BOX], expected[2:6, 2:6] = 255, 0
    np.testing.assert_array_equal(masks[2], expected)
    assert (masks.ids, masks.void) == ((1,), 255)
    assert masks.notes == (f"{path}: objects are numbered as drawn: 1 dog",)
    dump(path, labelme(ignored))
    assert (read_masks(path, frames).ids, read_masks(path, frames)[2].max()) == ((), 0)
    dump(
        path,
        labelme(
            ignored, *(shape("dot", [[i % 64, i // 64], [i % 64 + 1, i // 64 + 1]], "rectangle") for i in range(255))
        ),
    )
    crowd = read_masks(path, frames)
    assert (crowd.ids, crowd.void, crowd[2][0, 40]) == ((*range(1, 255), 256), 255, 41)  # 255 is no object's


def test_no_object_is_void_by_its_number(tmp_path, frames):
    dots = [note_of(0, segmentation=[[i % 60, i // 60, i % 60 + 1, i // 60, i % 60, i // 60 + 2]]) for i in range(255)]
    masks = read_masks(dump(tmp_path / "a.json", coco(["00000.jpg"], dots)), frames)
    assert (len(masks.ids), masks.ids[-1], masks.void) == (255, 256, None)
    far = note_of(0, track_id=255), note_of(0, segmentation=[[0, 0, 9, 0, 9, 9]], track_id=3)
    masks = read_masks(dump(tmp_path / "a.json", coco(["00000.jpg"], far)), frames)
    assert (masks.ids, masks[0][20, 30], masks[0][2, 7]) == ((1, 2), 1, 2)
    assert "objects are numbered as drawn" in masks.notes[0]


def test_ids_of_images_may_be_texts(tmp_path, frames):
    found, _ = one(dump(tmp_path / "a.json", coco(["00000.jpg"], [note_of("0")])), frames)
    assert (found[BOX] == 1).all()


def test_a_list_of_results_is_about_one_image(tmp_path, frames):
    items = [note_of(image, segmentation={"size": list(SIZE), "counts": [0, 48, 48 * 63]}) for image in (5, 6)]
    assert one(dump(tmp_path / "a.json", items[:1]), frames)[0][:, 0].all()
    with pytest.raises(MaskError, match=r"a\.json: is a list of segments of 2 images \(image_id\)"):
        read_masks(dump(tmp_path / "a.json", items), frames)


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


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("data.yaml", "train: images\nnames: [cat, 'big dog']\n"),
        ("data.yaml", "names:\n  0: cat\n  1: big dog\n"),
        ("../data.yaml", "names:\n- cat\n- big dog\n"),
        ("classes.txt", "\ufeffcat\r\nbig dog\r\n"),
    ],
)
def test_yolo_with_names_of_classes(tmp_path, frames, file, text):
    folder = tmp_path / "yolo" / "labels"
    folder.mkdir(parents=True)
    (folder / file).write_text(text, encoding="utf-8")
    corners = " ".join(f"{x / 64} {y / 48}" for x, y in CORNERS)
    (folder / "00001.txt").write_text(f"1 {corners} 0.93\n")  # with the confidence of a prediction
    found, masks = one(folder, frames)
    assert (found[BOX] == 1).all()
    assert found.sum() == 600
    assert masks.notes == (f"{folder / '00001.txt'}: objects are numbered as drawn: 1 big dog",)
    for broken in ("names: 3", "[", "names: {a: b}", "- 1", "&a [*a]"):
        (folder / "data.yaml").write_text(broken)
        assert one(folder / "00001.txt", frames)[1].ids == (1,)


@pytest.mark.parametrize("ids", [(3, 12), (12,)])
@pytest.mark.parametrize("name", ["binary", "coco", "davis", "yolo"])
def test_exports_are_read_back(tmp_path, frames, name, ids):
    source, shown = open_source([frames]), [boxes(3), boxes(3, 12), boxes(0, 12), boxes(0, 12, 3)]
    shown = [np.where(np.isin(labels, ids), labels, 0) for labels in shown]
    with EXPORTS[name](tmp_path / "out", source, ids) as write:
        for frame, labels in zip(source.frames(), shown, strict=True):
            write(frame, labels)
    there = {"coco": "coco.json", "davis": "DAVIS"}.get(name, name)
    masks = read_masks(tmp_path / "out" / there, source)
    assert masks.ids == ids
    for t, labels in enumerate(shown):
        np.testing.assert_array_equal(masks.get(t, np.zeros_like(labels)), labels)  # COCO lists no empty frame


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        ("[" * 100_000, "cannot be read as annotations"),
        ("{}", "neither COCO's JSON"),
        ("[1]", "neither COCO's JSON"),
        (json.dumps({"images": [], "annotations": []}), "holds no annotated image"),
        (
            json.dumps({"images": [{"id": 0, "height": "x", "width": 1}], "annotations": [note_of(0)]}),
            "cannot be read as annotations",
        ),
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


def test_objects_that_others_cover_are_told(tmp_path, frames):
    whole = [0, 0, SIZE[1], 0, SIZE[1], SIZE[0], 0, SIZE[0]]
    path = dump(tmp_path / "a.json", coco(["a.jpg"], [note_of(0), note_of(0, 4, [whole])]))
    found, masks = one(path, frames)
    assert (found == 2).all()
    assert f"{path}: a.jpg: objects overlap: the one drawn last is on top" in masks.notes
    assert f"{path}: a.jpg: object 1, cat, has no pixel: it has no area in the image, or others cover it" in masks.notes
    path = dump(tmp_path / "a.json", coco(["a.jpg"], [note_of(0, 4, [whole]), note_of(0)]))
    assert not any("has no pixel" in note for note in one(path, frames)[1].notes)


def test_tracks_may_have_names_and_images_no_size(tmp_path, frames):
    data = coco(
        ["00001.jpg", "00002.jpg"], [note_of(0, track_id="b"), note_of(0, track_id="a"), note_of(1, track_id="a")]
    )
    for image in data["images"]:
        del image["height"]
    masks = read_masks(dump(tmp_path / "a.json", data), frames)
    assert masks.ids == (2,)  # the first lies under the second
    assert (masks[2][BOX] == 2).all()


@pytest.mark.parametrize("kind", ["rectangle", "rotation"])
def test_rectangles_of_four_corners(tmp_path, frames, kind):
    found, _ = one(dump(tmp_path / "a.json", labelme(shape("dog", CORNERS, kind))), frames)
    assert (found[BOX] == 1).all()
    assert found.sum() == 600


def test_json_in_utf_16_and_texts_that_are_not_utf_8(tmp_path, frames):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(labelme(shape("dög", CORNERS)), ensure_ascii=False), encoding="utf-16")
    assert (one(path, frames)[0][BOX] == 1).all()
    (tmp_path / "00001.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n" * 99, encoding="utf-16")
    with pytest.raises(MaskError, match=r"00001\.txt: cannot be read .*; save it as UTF-8$") as error:
        read_masks(tmp_path / "00001.txt", frames)
    assert len(str(error.value)) < 300
