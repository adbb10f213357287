"""Scores of folders and the command line `python -m aot_jax.metrics`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from squares import sequence

from aot_jax.evaluation.ground_truth import score_folders
from aot_jax.evaluation.report import format_table
from aot_jax.io.datasets import numbering_hint
from aot_jax.io.masks import read_mask, write_mask
from aot_jax.metrics import (
    MetricsError,
)
from aot_jax.metrics.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folders(tmp_path):
    truths, predictions = sequence()
    for name in ("cow", "dog"):
        for t in range(len(truths)):
            write_mask(tmp_path / "truth" / name / f"{t:05d}.png", truths[t])
            if t not in (0, len(truths) - 1):  # the toolkit does not read these
                write_mask(tmp_path / "found" / name / f"{t:05d}.png", predictions[t])
    return tmp_path / "truth", tmp_path / "found"


def test_folders_are_scored_alike_here_and_in_other_processes(folders):
    alone = score_folders(*folders, workers=1)
    assert list(alone.scores) == ["cow", "dog"]
    assert alone.warnings == ()
    assert alone.scores["cow"][7].J_mean == pytest.approx(2 / 3)
    together = score_folders(*folders, workers=2)
    assert format_table(together.scores) == format_table(alone.scores)
    assert list(score_folders(*folders, workers=1, sequences=["dog"]).scores) == ["dog"]
    one = score_folders(folders[0] / "cow", folders[1] / "cow")
    assert one.scores["cow"][7].J_mean == alone.scores["cow"][7].J_mean


def test_black_and_white_files_are_scored_as_one_object(folders):
    truth, found = folders
    for path in [*truth.glob("*/*.png"), *found.glob("*/*.png")]:
        with Image.open(path) as image:
            ids = np.asarray(image)
        Image.fromarray(np.where(ids == 2, 255, 0).astype(np.uint8)).save(path)
    scored = score_folders(truth, found, binary=True, workers=1)
    assert scored.scores["cow"][1].JF_mean == 1
    assert score_folders(truth, found, workers=1).scores["cow"][1].JF_mean == 1


def test_all_problems_are_listed_together(folders):
    truth, found = folders
    write_mask(found / "cow" / "00001.png", np.ones((10, 12), int))
    (found / "cow" / "00002.png").write_bytes(b"nothing")
    (found / "dog" / "00003.png").unlink()
    write_mask(truth / "elk" / "00000.png", np.ones((4, 4), int))
    with pytest.raises(MetricsError) as error:
        score_folders(*folders, workers=1)
    message = str(error.value)
    assert message.startswith("nothing scored, 4 problems:")
    assert "cow/00001.png: the mask is 12x10, but 30x20" in message
    assert "cow/00002.png: not a " in message
    assert "dog: no mask for 1 of 5 frames: 00003" in message
    assert "elk: the sequence is missing" in message


def test_no_more_than_twenty_problems_are_listed(folders):
    for i in range(24):
        (folders[0] / f"more{i:02d}").mkdir()
    with pytest.raises(MetricsError) as error:
        score_folders(*folders, workers=1)
    assert len(str(error.value).splitlines()) == 22
    assert str(error.value).endswith("... and 4 more")


def test_remarks_name_ids_and_sequences_that_do_not_count(folders):
    truth, found = folders
    late = np.asarray(Image.open(truth / "cow" / "00002.png")).copy()
    late[0, 0] = 4
    write_mask(truth / "cow" / "00002.png", late)
    wrong = np.asarray(Image.open(found / "dog" / "00002.png")).copy()
    wrong[0, :2] = 9, 12
    write_mask(found / "dog" / "00002.png", wrong)
    (found / "elk").mkdir()
    warnings = score_folders(truth, found, workers=1).warnings
    assert len(warnings) == 3
    assert any("cow: ids [4] are not in the first frame" in line for line in warnings)
    assert any("dog: ids [9, 12], from 00002.png on, are not in the ground truth" in line for line in warnings)
    assert any("not scored: elk" in line for line in warnings)


def test_objects_that_are_never_predicted_are_told(folders):
    for path in (folders[1] / "cow").iterdir():
        ids = np.asarray(Image.open(path))
        write_mask(path, np.where(ids == 7, 0, ids))
    warnings = score_folders(*folders, workers=1).warnings
    assert warnings == (f"{folders[1]}/cow: ids [7] of the ground truth are in none of the predictions",)


def test_predictions_of_another_kind_are_named(folders):
    for path in sorted((folders[1] / "cow").iterdir()):
        np.save(path.with_suffix(".npy"), np.asarray(Image.open(path)))
        path.unlink()
    with pytest.raises(MetricsError, match=r"cow: no mask for 3 of 5 frames: .*, but 3 .npy files; convert them"):
        score_folders(*folders, workers=1)


def test_predictions_numbered_from_another_frame_are_told(folders, tmp_path, capsys):
    truth = folders[0]
    shifted = tmp_path / "shifted" / "dog"
    for t in range(5):
        write_mask(shifted / f"{t + 1:05d}.png", np.asarray(Image.open(truth / "dog" / f"{t:05d}.png")))
    both = ["--ground_truth", str(truth), "--prediction", str(tmp_path / "shifted"), "--sequences", "dog"]
    assert main([*both, "--workers", "1"]) == 0
    assert capsys.readouterr().err == (
        f"warning: {shifted}: numbered from 00001, the ground truth from 00000; frames are matched by name: "
        "if they show the same, rename one\n"
    )
    for t in (5, 4, 3, 2, 1):
        (shifted / f"{t:05d}.png").rename(shifted / f"frame_{t:04d}.png")
    assert main([*both, "--workers", "1"]) == 2
    message = capsys.readouterr().err
    assert "no mask for 3 of 5 frames: 00001, 00002, 00003 (named like frame_0001, the ground truth" in message
    names = [f"{t:05d}" for t in range(10)]
    assert numbering_hint(names, names[1:-1]) == ""  # the ends need no prediction
    assert numbering_hint(names, names[1:]) == ""
    assert numbering_hint(names[::5], names[1:], more=True).startswith("numbered from 00001")
    assert numbering_hint(names[::5], names, more=True) == ""


def test_every_nth_frame_with_ground_truth_is_scored_and_counted(folders, capsys):
    truth, found = folders
    (truth / "dog" / "00002.png").unlink()
    both = ["--ground_truth", str(truth), "--prediction", str(found), "--workers", "1"]
    assert main(both) == 0
    printed = capsys.readouterr()
    assert printed.err == "warning: ground truth in some frames only, 2 of 5 frames are scored: dog\n"
    assert "dog            7  1.0000  1.0000  1.0000" in printed.out.splitlines()


def test_command_line_ends_with_the_figures(folders, tmp_path):
    (tmp_path / "val.txt").write_text("dog\n")
    command = [sys.executable, "-m", "aot_jax.metrics", "--ground_truth", folders[0], "--prediction", folders[1]]
    options = ["--workers", "2", "--csv", tmp_path / "scores.csv"]
    run = subprocess.run([*map(str, [*command, *options])], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert run.stderr == ""
    assert run.returncode == 0
    assert run.stdout.splitlines()[-1] == "J&F 0.8333  J 0.8333  F 0.8333"
    assert len(run.stdout.splitlines()) == 6
    assert (tmp_path / "scores.csv").read_text().splitlines()[-1] == "mean,,0.833333,0.833333,0.833333"


def test_names_that_the_locale_does_not_have_are_printed_and_written(folders, tmp_path):
    for folder in folders:
        (folder / "dog").rename(folder / "\u00e9t\u00e9")
    (tmp_path / "val.txt").write_bytes("\ufeff\u00e9t\u00e9\r\n".encode())
    command = [sys.executable, "-m", "aot_jax.metrics", "--ground_truth", folders[0], "--prediction", folders[1]]
    options = ["--workers", "1", "--csv", tmp_path / "scores.csv", "--sequences", tmp_path / "val.txt"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [*map(str, [*command, *options])], cwd=ROOT, capture_output=True, timeout=900, env=os.environ | ascii_only
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == b"J&F 0.8333  J 0.8333  F 0.8333"
    assert "\u00e9t\u00e9,7," in (tmp_path / "scores.csv").read_text(encoding="utf-8")


def test_command_line_takes_names_and_lists(folders, tmp_path, capsys):
    (tmp_path / "val.txt").write_text("dog\n")
    both = ["--ground_truth", str(folders[0]), "--prediction", str(folders[1]), "--workers", "1"]
    for chosen in (["dog"], [str(tmp_path / "val.txt")]):
        assert main([*both, "--sequences", *chosen]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["sequence", "dog", "dog", "J&F"]
    assert main([*both, "--sequences", "elk"]) == 2
    assert "truth/elk: no such sequence in the ground truth" in capsys.readouterr().err


def test_bad_input_is_an_error_message_and_exit_code_2(folders, tmp_path, capsys):
    assert main(["--ground_truth", str(tmp_path / "none"), "--prediction", str(folders[1])]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'}: not a folder")
    (tmp_path / "void").mkdir()
    assert main(["--ground_truth", str(tmp_path / "void"), "--prediction", str(folders[1])]) == 2
    assert "no sequence to score" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--ground_truth", ".", "--prediction", ".", "--workers", "0"])
    assert stop.value.code == 2


def test_predictions_with_other_ids_throughout_are_told(folders, capsys):
    for path in (folders[1] / "dog").iterdir():
        mask = read_mask(path)
        write_mask(path, np.where(mask, mask + 100, 0))
    assert main(["--ground_truth", str(folders[0]), "--prediction", str(folders[1]), "--workers", "1"]) == 0
    assert "and none of its own is predicted: give predictions the same ids or colours" in capsys.readouterr().err


def test_black_and_white_jpegs_are_scored_and_told(tmp_path):
    labels = np.zeros((48, 64), np.uint8)
    labels[8:32, 8:40] = 255
    for t in range(4):
        for part in ("truth", "found"):
            (tmp_path / part / "cow").mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(tmp_path / part / "cow" / f"{t}.{'png' if part == 'truth' else 'JPG'}", "JPEG")
    (tmp_path / "found" / "cover.jpg").write_bytes(b"")
    scored = score_folders(tmp_path / "truth", tmp_path / "found", workers=1)
    assert scored.scores["cow"][1].J_mean == 1
    assert any("edges are soft" in warning or "JPEG" in warning for warning in scored.warnings)
