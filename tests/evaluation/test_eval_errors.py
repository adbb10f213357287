"""Bad input and full disks in eval.py: one line with file, value and remedy; finished videos stay."""

import errno
import os

import numpy as np
import pytest
from miniature import COUNTS, Miniature, Oracle, patch_command
from PIL import Image

from aot_jax.commands import eval as command
from aot_jax.io.masks import read_mask, write_mask


@pytest.fixture
def made(tmp_path):
    return Miniature(tmp_path / "data", truth=False).youtubevos(2018, all_frames=False)


@pytest.fixture
def user_videos(tmp_path):
    return Miniature(tmp_path / "own", truth=False).folder()


def run(monkeypatch, capsys, made, output, split="youtubevos18"):
    """Run the command with an oracle; returns exit code, what it said and the number of frames stepped."""
    oracle = Oracle(made.answers)
    patch_command(monkeypatch, lambda *_, **__: oracle)
    code = command.main(
        ["--split", split, "--data", str(made.root), "--output", str(output), "--random_weights"],
    )
    return code, capsys.readouterr().err, oracle.steps


def test_a_corrupt_frame_keeps_what_is_finished(made, tmp_path, monkeypatch, capsys):
    frame = made.root / "YouTubeVOS/2018/valid/JPEGImages/plain/00010.jpg"
    whole = frame.read_bytes()
    frame.write_bytes(whole[: len(whole) // 2])
    code, message, steps = run(monkeypatch, capsys, made, tmp_path / "out")
    assert code == 2
    assert message.startswith(f"error: {frame}: cannot be read")
    assert message.endswith("copy or export the file again\n")
    assert message.count("\n") == 1
    masks = tmp_path / "out/Annotations"
    for path in masks.rglob("*.png"):
        np.testing.assert_array_equal(read_mask(path), made.masks[path.parent.name, path.stem])
    assert len(list(masks.glob("late/*.png"))) == 5
    frame.write_bytes(whole)
    code, _, steps = run(monkeypatch, capsys, made, tmp_path / "out")
    assert (code, steps) == (0, 5)  # `late` is not run again


@pytest.mark.parametrize("part", ["Annotations", "JPEGImages"])
def test_given_masks_and_frames_are_never_written_over(user_videos, tmp_path, monkeypatch, capsys, part):
    before = {path: path.read_bytes() for path in user_videos.root.rglob("*.*")}
    code, message, steps = run(monkeypatch, capsys, user_videos, user_videos.root / part, "folder")
    assert (code, steps) == (2, 0)
    assert message.startswith(f"error: {user_videos.root / part}: results would be written over or among the given ")
    assert {path: path.read_bytes() for path in user_videos.root.rglob("*.*")} == before


def test_a_missing_mask(made, user_videos, tmp_path, monkeypatch, capsys):
    mask = made.root / "YouTubeVOS/2018/valid/Annotations/late/00015.png"
    mask.unlink()
    code, message, steps = run(monkeypatch, capsys, made, tmp_path / "out")
    assert (code, steps) == (2, 0)
    assert message == (f"error: {mask}: no such mask, but object 9 of late first appears there; unpack the set again\n")
    mask = user_videos.root / "Annotations/still/00000.png"
    mask.unlink()
    code, message, steps = run(monkeypatch, capsys, user_videos, tmp_path / "out", "folder")
    assert (code, steps) == (2, 0)
    assert message.startswith(f"error: {mask}: no such mask, nor one of another frame of ")
    write_mask(mask.with_name("1.png"), np.ones((4, 4), np.int32))
    write_mask(mask, np.ones((4, 4), np.int32))
    code, message, _ = run(monkeypatch, capsys, user_videos, tmp_path / "out", "folder")
    assert code == 2
    assert message.startswith(f"error: {mask.with_name('1.png')}: there is no frame of this name in ")


def test_a_mask_without_objects(made, user_videos, tmp_path, monkeypatch, capsys):
    mask = user_videos.root / "Annotations/plain/00000.png"
    write_mask(mask, np.zeros((40, 52), np.int32))
    code, message, _ = run(monkeypatch, capsys, user_videos, tmp_path / "own_out", "folder")
    assert code == 2
    assert message.startswith(f"error: {mask}: the first mask has no object: every pixel is 0")
    assert message.endswith("draw one, or take the video plain out\n")
    assert len(list(tmp_path.glob("own_out/late/*.png"))) == COUNTS["late"]
    # One object of several that its benchmark lists: a warning, and the others are tracked.
    mask = made.root / "YouTubeVOS/2018/valid/Annotations/still/00000.png"
    still = next(path for path in made.root.rglob("JPEGImages/still/00000.jpg"))
    true = np.where(made.masks["still", "00000"] == 4, 0, made.masks["still", "00000"])
    made.answers[np.asarray(Image.open(still)).tobytes()] = true
    write_mask(mask, true)
    code, message, _ = run(monkeypatch, capsys, made, tmp_path / "out")
    assert code == 0
    assert message == f"warning: {mask.parent}: no mask holds objects [4], which meta.json lists: not tracked\n"


def test_meta_json_and_frames_that_do_not_fit(made, tmp_path, monkeypatch, capsys):
    base = made.root / "YouTubeVOS/2018/valid"
    (base / "JPEGImages/plain/00010.jpg").unlink()
    code, message, _ = run(monkeypatch, capsys, made, tmp_path / "out")
    assert code == 2
    assert message.startswith(f"error: {base}/JPEGImages/plain/00010.jpg does not exist, but meta.json lists it")
    assert "(1 of 4 frames are missing)" in message
    for text in ("[]", "{", '{"videos": {"a": {"objects": {"x": {"frames": ["0"]}}}}}', '{"videos": {"a": 3}}'):
        (base / "meta.json").write_text(text)
        code, message, _ = run(monkeypatch, capsys, made, tmp_path / "out")
        assert code == 2
        assert message.startswith(f"error: {base}/meta.json: not such a meta.json as YouTube-VOS and LVOS publish (")
    (base / "meta.json").write_text('{"videos": {"a": {"objects": {}}}}')
    code, message, _ = run(monkeypatch, capsys, made, tmp_path / "out")
    assert message == f"error: {base}/meta.json: a has no object with frames; unpack the set again\n"


def test_an_output_that_cannot_be_written_stops_before_the_first_frame(made, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    code, message, steps = run(monkeypatch, capsys, made, tmp_path / "file" / "out")
    assert (code, steps) == (2, 0)
    assert message.startswith(f"error: {tmp_path}/file/out: results cannot be written there (Not a directory)")
    assert "--output" in message


def test_a_full_disk_keeps_what_is_finished(made, tmp_path, monkeypatch, capsys):
    save, saved = Image.Image.save, []

    def fail_at_the_eighth(image, path, *args, **kwargs):
        saved.append(path)
        if len(saved) >= 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # Pillow does not name the file
        save(image, path, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "save", fail_at_the_eighth)
    code, message, _ = run(monkeypatch, capsys, made, tmp_path / "out")
    assert code == 2
    assert message.startswith(f"error: {tmp_path}/out/Annotations/plain/000")
    assert ".png: No space left on device: free some, or move the folder" in message
    assert "the same command continues" in message
    assert message.count("\n") == 1
    assert not list(tmp_path.glob("out/**/*.tmp"))
    monkeypatch.setattr(Image.Image, "save", save)
    code, _, steps = run(monkeypatch, capsys, made, tmp_path / "out")
    assert (code, steps) == (0, 5)
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/Annotations/*/*"))
    assert len(names) == 10


def test_ctrl_c_says_how_to_go_on(made, tmp_path, monkeypatch, capsys):
    class Interrupted(Oracle):
        def step(self, frame, mask=None):
            if self.steps == 6:
                raise KeyboardInterrupt
            return super().step(frame, mask)

    patch_command(monkeypatch, lambda *_, **__: Interrupted(made.answers))
    flags = ["--split", "youtubevos18", "--data", str(made.root), "--output", str(tmp_path / "out")]
    assert command.main([*flags, "--random_weights"]) == 130
    assert (
        capsys.readouterr().err == f"stopped; the same command continues after the videos finished in {tmp_path}/out\n"
    )
    assert run(monkeypatch, capsys, made, tmp_path / "out")[2] == 5
