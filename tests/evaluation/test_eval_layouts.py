"""MOSE, LVOS and VOST in their published layouts, and generated videos: listed files, given masks, output, scores."""

import json
import zipfile

import numpy as np
import pytest
from miniature import Oracle, patch_command
from PIL import Image

from aot_jax.commands import eval as command
from aot_jax.evaluation.splits import load_split
from aot_jax.io import generated
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import read_frame
from aot_jax.io.generated import make_video
from aot_jax.io.masks import read_mask, write_mask

FRAMES, STEP = 12, 5


def draw(root, name, stems, annotated, answers):
    """Write a video of two objects, the second from the sixth frame on, with masks in the frames `annotated`."""
    images, masks = make_video(3, len(stems), 40, 56, objects=2)
    masks[:5][masks[:5] == 2] = 0
    (root / "JPEGImages" / name).mkdir(parents=True)
    for stem, image, mask in zip(stems, images, masks, strict=True):
        path = root / "JPEGImages" / name / f"{stem}.jpg"
        Image.fromarray(image).save(path, quality=95)
        answers[read_frame(path).tobytes()] = mask.astype(np.int32)
        if stem in annotated:
            write_mask(root / "Annotations" / name / f"{stem}.png", mask)
    return masks


def run(monkeypatch, split, data, output, answers):
    oracle = Oracle(answers)
    patch_command(monkeypatch, lambda *_, **__: oracle)
    flags = ["--split", split, "--data", str(data), "--output", str(output), "--random_weights"]
    assert command.main(flags) == 0
    return oracle, json.loads((output / "scores.json").read_text())


def test_mose_is_packed_for_its_server(tmp_path, monkeypatch, capsys):
    answers, stems = {}, [f"{t:05d}" for t in range(4)]
    draw(tmp_path / "MOSE/valid", "0a1b", stems, stems[:1], answers)
    _, about = run(monkeypatch, "mose", tmp_path, tmp_path / "out", answers)
    with zipfile.ZipFile(tmp_path / "out/mose.zip") as archive:
        assert archive.namelist() == [f"0a1b/{stem}.png" for stem in stems]
    assert "J&F" not in about
    assert "for the MOSE server, see https://mose.video" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("split", "place", "meta"),
    [
        ("lvos_v1", "LVOS/valid", "../valid_meta.json"),
        ("lvos_v2", "LVOS_V2/val", "val_meta.json"),
        ("lvos_v1", "LVOS/val", ""),
        ("lvos_v2", ".", "meta.json"),
    ],
)
def test_lvos_is_scored_in_every_fifth_frame_of_an_objects_range(tmp_path, monkeypatch, capsys, split, place, meta):
    answers, stems = {}, [f"{t:08d}" for t in range(1, FRAMES + 1)]
    annotated = stems[::STEP]  # frames 1, 6 and 11: object 2 comes with the second
    root = tmp_path / "data" / place
    masks = draw(root, "7K7W", stems, annotated, answers)
    if meta:
        ranges = {"1": {"start": "1", "end": "11"}, "2": {"start": 6, "end": 12}}
        objects = {i: {"frame_range": shown | {"frame_nums": 2}} for i, shown in ranges.items()}
        (root / meta).write_text(json.dumps({"videos": {"7K7W": {"objects": objects}}}))
    oracle, about = run(monkeypatch, split, tmp_path / "data", tmp_path / "out", answers)
    assert oracle.given == [[1], [2]]
    assert oracle.steps == FRAMES
    assert sorted(path.stem for path in (tmp_path / "out/7K7W").iterdir()) == stems
    np.testing.assert_array_equal(read_mask(tmp_path / "out/7K7W/00000012.png"), masks[-1])
    # The end of a range is excluded, as in the official toolkit; frame 11 counts for object 2.
    assert about["sequences"] == {"7K7W": {"1": {"J": 1, "F": 1}, "2": {"J": 1, "F": 1}}}
    count = 3 if meta else 2  # ranges count the frame of the given mask too
    assert about["scored_frames"] == count
    printed = capsys.readouterr()
    assert f"scored frames: {count}\n" in printed.out
    sparse = "" if meta else "warning: ground truth in some frames only, 2 of 12 frames are scored: 7K7W\n"
    assert printed.err == sparse


def test_vost_is_scored_as_davis_is_without_void_and_in_its_last_quarter(tmp_path, monkeypatch, capsys):
    answers, stems = {}, [f"frame{12 * t:05d}" for t in range(7)]
    masks = draw(tmp_path / "VOST", "3 cut tomato", stems, stems, answers)
    masks[2][:5] = 255
    Image.fromarray(masks[2]).save(tmp_path / "VOST/Annotations/3 cut tomato" / f"{stems[2]}.png")
    (tmp_path / "VOST/ImageSets").mkdir()
    (tmp_path / "VOST/ImageSets/val.txt").write_text("3 cut tomato\n")
    frame = read_frame(tmp_path / "VOST/JPEGImages/3 cut tomato" / f"{stems[2]}.jpg")
    answers[frame.tobytes()] = np.where(masks[2] == 255, 1, masks[2]).astype(np.int32)  # spills onto the void
    answers = {frame: np.where(mask == 1, mask, 0) for frame, mask in answers.items()}
    frame = read_frame(tmp_path / "VOST/JPEGImages/3 cut tomato" / f"{stems[5]}.jpg")
    part = np.where(np.arange(56) % 2, masks[5] == 1, 0).astype(np.int32)
    answers[frame.tobytes()], J = part, part.sum() / (masks[5] == 1).sum()
    oracle, about = run(monkeypatch, "vost", tmp_path, tmp_path / "out", answers)
    assert oracle.given == [[1]]
    assert about["sequences"]["3 cut tomato"]["1"]["J"] == pytest.approx((4 + J) / 5)
    assert about["scored_frames"] == 5
    assert about["J_tr"] == pytest.approx((1 + J) / 2)  # of the last two frames of five
    assert f"J_tr {about['J_tr']:.4f}\n" in capsys.readouterr().out


@pytest.mark.parametrize("split", ["davis16", "youtubevos18", "mose", "lvos_v1", "lvos_v2", "vost"])
def test_the_layout_wanted_is_told(tmp_path, split, monkeypatch):
    monkeypatch.setenv("VOS_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"elsewhere/.* does not exist(.|\n)*published at https://"):
        load_split(split)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="there is no split 'davis18'; there are davis16, davis17"):
        load_split("davis18")


def test_a_meta_json_of_another_shape_is_refused(tmp_path):
    draw(tmp_path / "LVOS/val", "a", ["00000001", "00000002"], ["00000001"], {})
    (tmp_path / "LVOS/val/val_meta.json").write_text('{"videos": {"a": {"objects": {"1": {"frames": ["1"]}}}}}')
    with pytest.raises(DataError, match=r"val_meta\.json: not such a meta\.json"):
        load_split("lvos_v1", tmp_path)


def test_the_generated_split_needs_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(generated, "HELD_OUT", generated.Recipe(seed=7, videos=2, frames=4, height=33, width=47))
    load_split("generated")
    (tree,) = (tmp_path / "cache").glob("*/generated-*-7-2x4-33x47")
    answers = {
        read_frame(path).tobytes(): read_mask(tree / "Annotations/480p" / path.parent.name / f"{path.stem}.png")
        for path in tree.glob("JPEGImages/480p/*/*.jpg")
    }
    oracle = Oracle(answers)
    patch_command(monkeypatch, lambda *_, **__: oracle)
    flags = ["--split", "generated", "--output", str(tmp_path / "out"), "--random_weights"]
    assert command.main([*flags, "--data", str(tmp_path / "nothing")]) == 0
    assert oracle.steps == 8
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/[!.]*/*")) == [
        *("00/00000.png", "00/00001.png", "00/00002.png", "00/00003.png"),
        *("01/00000.png", "01/00001.png", "01/00002.png", "01/00003.png"),
    ]
    assert capsys.readouterr().out.splitlines()[-1].startswith("J&F 1.0000  J 1.0000  F 1.0000  fps ")


def test_a_new_version_of_the_generated_videos_replaces_those_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(generated, "HELD_OUT", generated.Recipe(seed=7, videos=1, frames=1, height=33, width=47))
    before = load_split("generated").annotations
    assert load_split("generated").annotations == before
    monkeypatch.setattr(generated, "VERSION", generated.VERSION + 1)
    assert load_split("generated").annotations != before
