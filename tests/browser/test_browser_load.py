"""Mask files dropped on the page or chosen there: every kind that track.py takes, single, several, and in folders."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from small_page import FRAMES, H, W, box

pytest.importorskip("starlette")
from aot_jax.browser.files import load_files
from aot_jax.browser.session import SessionError
from aot_jax.io.masks import write_mask

BOX = box().astype(np.int32)


def png(tmp_path, labels=BOX):
    write_mask(tmp_path / "written.png", labels)
    return (tmp_path / "written.png").read_bytes()


def picture(kind, **options):
    data = io.BytesIO()
    Image.fromarray(255 * BOX.astype(np.uint8)).save(data, kind, **options)
    return data.getvalue()


def array(save, *values, **named):
    data = io.BytesIO()
    save(data, *values, **named)
    return data.getvalue()


POLYGON = [[5, 5], [20, 5], [20, 20], [5, 20]]
LABELME = {
    "imagePath": "a.jpg",
    "imageHeight": H,
    "imageWidth": W,
    "shapes": [{"label": "a", "shape_type": "polygon", "points": POLYGON}],
}
COCO = {
    "images": [{"id": 1, "file_name": "00002.jpg", "height": H, "width": W}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[v for xy in POLYGON for v in xy]], "iscrowd": 0}
    ],
    "categories": [{"id": 1, "name": "a"}],
}
YOLO = "0 " + " ".join(f"{x / W:.6f} {y / H:.6f}" for x, y in POLYGON)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", picture("PNG")),
        ("A.PNG", picture("PNG")),
        ("a.tif", picture("TIFF")),
        ("a.bmp", picture("BMP")),
        ("a.webp", picture("WEBP", lossless=True)),
        ("a.jpg", picture("JPEG")),
        ("a.gif", picture("GIF")),
        ("a.npy", array(np.save, BOX)),
        ("a.npz", array(np.savez, mask=BOX)),
        ("a.json", json.dumps(LABELME).encode()),
        ("coco.json", json.dumps(COCO).encode()),
        ("a.txt", YOLO.encode()),
    ],
)
def test_a_mask_of_any_kind_is_that_of_the_frame_shown(session, name, data):
    masks, _ = load_files(session.source, 2, [(name, data)])
    assert list(masks) == [2]
    differing = (masks[2] != 0) != (BOX != 0)
    assert differing.sum() <= 4 * 15  # JPEG and drawn edges
    assert masks[2].max() == 1


def test_several_masks_go_to_the_frames_of_their_names(session, tmp_path):
    masks, _ = load_files(session.source, 0, [(f"{t:05d}.png", png(tmp_path)) for t in (1, 3)])
    assert sorted(masks) == [1, 3]


def test_a_folder_is_read_as_track_py_reads_it(session, tmp_path):
    inside = [(f"results/masks/{t:05d}.png", png(tmp_path, 9 * BOX)) for t in range(FRAMES)]
    beside = [("results/progress.json", b"{}"), ("results/.DS_Store", b"?"), ("results/overlay.mp4", b"?")]
    masks, _ = load_files(session.source, 0, [*beside, *inside])
    assert sorted(masks) == list(range(FRAMES))
    assert masks[0].max() == 9


def test_names_of_classes_are_read_beside_their_labels(session):
    names = b"names:\n  0: object 7\n"
    masks, _ = load_files(session.source, 0, [("yolo/labels/00004.txt", YOLO.encode()), ("yolo/data.yaml", names)])
    assert [int(mask.max()) for mask in masks.values()] == [7]


@pytest.mark.parametrize(
    "name", ["../../m.png", "..\\..\\m.png", "/m.png", "C:\\m.png", "a/../../../m.png", "\0/m.png"]
)
def test_a_name_never_leads_out_of_the_folder_of_the_upload(session, tmp_path, monkeypatch, name):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = sorted(tmp_path.rglob("*"))
    masks, _ = load_files(session.source, 3, [(name, png(tmp_path))])
    (tmp_path / "written.png").unlink()
    assert list(masks) == [3]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("m.png", b"not a PNG")], "^m.png: "),
        ([("m.png", b"x"), ("m.png", b"x")], "^two of the files are named m.png; rename one$"),
        ([("m.zip", b"x")], "^these files: holds no mask"),
        ([(".m.png", b"x")], "^these files: holds no mask"),
    ],
)
def test_what_is_no_mask_is_one_line_that_names_the_file(session, given, message):
    with pytest.raises(SessionError, match=message) as error:
        load_files(session.source, 0, given)
    assert "tmp" not in str(error.value)
