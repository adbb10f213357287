"""track.py when it is interrupted: Ctrl-C, kill, a full disk, and what --resume makes of it."""

import contextlib
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import clips
import numpy as np
import pytest
import tiny
from painter import COUNT, SIZE, run, upright_masks

from aot_jax import network
from aot_jax.io.masks import write_mask
from aot_jax.io.video_reader import VideoReader
from aot_jax.io.video_writer import VideoWriter
from aot_jax.tracker.tracker import Tracker
from aot_jax.video import run as command


def test_a_network_that_is_stopped_and_resumed_gives_the_same_masks(clip, mask, tmp_path, monkeypatch):
    model = tiny.load("aost", "model.depth=2", "memory.gap=2")
    monkeypatch.setattr(network.FoundNetwork, "load", lambda *_: model)
    mask = mask.rename(tmp_path / "00002.png")
    flags = ("--mask", mask, "--random_weights", "--depth", 1, "--no_overlay")
    assert run(clip, tmp_path / "whole", *flags) == 0
    steps = []

    class Interrupted(Tracker):
        def stream(self, frames):
            def watched():
                for frame, mask in frames:
                    steps.append(mask is not None)
                    if len(steps) in (3, 6):
                        signal.raise_signal(signal.SIGINT)
                    yield frame, mask

            return super().stream(watched())

    monkeypatch.setattr(command, "Tracker", Interrupted)
    out = tmp_path / "parts"
    assert run(clip, out, *flags) == 130
    assert [path.name for path in out.glob("state-*")] == ["state-forward-4"]
    assert run(clip, out, *flags, "--resume") == 130
    assert [path.name for path in out.glob("state-*")] == ["state-backward-1"]
    assert run(clip, out, *flags, "--resume") == 0
    assert steps == [True, False, False, False, True, False, False]  # 2 3 4, 5, 2 1, 0
    for whole, parts in zip(upright_masks(tmp_path / "whole"), upright_masks(out), strict=True):
        np.testing.assert_array_equal(whole, parts)


def test_a_full_disk_keeps_what_is_done(painter, clip, mask, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"

    def full(path, labels):
        if path.name == "00003.png":
            raise OSError(28, "No space left on device")
        write_mask(path, labels)

    monkeypatch.setattr("aot_jax.io.mask_writer.write_mask", full)
    flags = ("--mask", mask, "--random_weights")
    assert run(clip, out, *flags, "--save_every", 1) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no space left for results")
    assert "--resume" in line
    assert len(upright_masks(out)) == 3
    monkeypatch.setattr("aot_jax.io.mask_writer.write_mask", write_mask)

    def full_overlay(*_):
        raise av.error.OSError(28, "No space left on device")

    write = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", full_overlay)
    assert run(clip, out, *flags, "--resume") == 2
    assert capsys.readouterr().err.startswith("error: no space left for results")
    assert len(upright_masks(out)) == COUNT
    assert not (out / "overlay.mp4").exists()
    monkeypatch.setattr(VideoWriter, "write", write)
    assert run(clip, out, *flags, "--resume") == 0
    assert (out / "overlay.mp4").exists()


@contextlib.contextmanager
def files_of_at_most(size):
    """Limit the size of written files by the operating system, as a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("size", "masks", "file"), [(700, 0, "progress.json"), (1_800, 0, "00000.png"), (2_500, COUNT, "overlay.mp4")]
)
def test_the_system_refuses_to_write(painter, clip, mask, tmp_path, capsys, size, masks, file):
    out, flags = tmp_path / "out", ("--mask", mask, "--random_weights")
    if file == "00000.png":  # the mask is larger than the record
        write_mask(mask, np.random.default_rng(0).integers(1, 200, SIZE[::-1]))
    with files_of_at_most(size):
        code = run(clip, out, *flags)
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("error: no space left for results ([Errno 27] File too large")
    assert file in line
    assert [len(list(out.glob(names))) for names in ("masks/*.png", "masks/.*", ".*", "*.mp4")] == [masks, 0, 0, 0]
    assert run(clip, out, *flags, "--resume") == 0
    assert (len(upright_masks(out)), VideoReader(out / "overlay.mp4").expected) == (COUNT, COUNT)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from painter import Painter
from PIL import Image
from aot_jax import network
from aot_jax.commands import track
from aot_jax.video import limits, run

run.Tracker, network.FoundNetwork.load, limits.warnings = Painter, lambda *_: None, lambda *_: ()
save = Image.Image.save

def save_half(self, path, *args, **options):
    if ".00004.png" in str(path):
        Path(path).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, path, *args, **options)

Image.Image.save = save_half
track.main(sys.argv[1:])
"""


def test_a_killed_process_leaves_nothing_that_resume_does_not_mend(painter, clip, mask, tmp_path):
    flags = ("--mask", mask, "--random_weights", "--save_every", 2)
    assert run(clip, tmp_path / "whole", *flags) == 0
    out = tmp_path / "out"
    here = Path(__file__).resolve().parents[1]
    code = KILLED.format(paths=[str(here), str(here.parent)])
    child = [sys.executable, "-c", code, str(clip), "--output", str(out), *map(str, flags)]
    assert subprocess.run(child, timeout=900).returncode == -signal.SIGKILL
    assert len(list(out.glob("masks/.00004.png.*"))) == 1
    assert not (out / "masks" / "00004.png").exists()
    assert run(clip, out, *flags, "--resume") == 0
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "whole", out)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("number", "flags", "again"),
    [(signal.SIGINT, [], "and --resume"), (signal.SIGTERM, ["--overwrite"], "with --resume in place of --overwrite")],
)
def test_ctrl_c_keeps_finished_frames_and_resume_goes_on(painter, clip, mask, tmp_path, capsys, number, flags, again):
    out, seen = tmp_path / "out", []

    def interrupt_the_third(frame):
        seen.append(clips.number_of(np.rot90(frame)))
        if len(seen) == 3:
            signal.raise_signal(number)

    painter.during = staticmethod(interrupt_the_third)
    before = signal.getsignal(number)
    assert run(clip, out, "--mask", mask, "--random_weights", *flags) == 130
    assert signal.getsignal(number) is before
    assert f"stopped: finished masks are kept; continue with the same command {again}\n" in capsys.readouterr().err
    assert len(upright_masks(out)) == 3
    assert not (out / "overlay.mp4").exists()
    assert run(clip, out, "--mask", mask, "--random_weights", "--resume") == 0
    assert seen == list(range(COUNT))
    assert len(upright_masks(out)) == COUNT
    assert VideoReader(out / "overlay.mp4").expected == COUNT


def test_a_second_ctrl_c_stops_at_once(painter, clip, mask, tmp_path, capsys):
    def twice(frame):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")

    painter.during = staticmethod(twice)
    assert run(clip, tmp_path / "out", "--mask", mask, "--random_weights") == 130
    assert "stopped" in capsys.readouterr().err


def test_it_runs_outside_of_the_main_thread(painter, clip, mask, tmp_path):
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(run(clip, tmp_path / "out", "--mask", mask, "--random_weights"))
    )
    thread.start()
    thread.join()
    assert codes == [0]
