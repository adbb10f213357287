"""track.py on the command line: results, one-line errors, Ctrl-C and --resume, arbitrary bytes as input."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import av
import clips
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aot_jax import network
from aot_jax.checkpoint import save_params
from aot_jax.commands import track as script
from aot_jax.config import load_config
from aot_jax.evaluation.splits import load_split
from aot_jax.io.masks import DAVIS_PALETTE, read_mask, write_mask
from aot_jax.io.video_reader import VideoReader
from aot_jax.io.video_writer import VideoWriter
from aot_jax.network import make_model
from aot_jax.tracker.tracker import Tracker
from aot_jax.video import limits
from aot_jax.video import run as command

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZE = (32, 48)
COUNT = 6
SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=2", "model.encoder=tiny")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = load_config("configs/aost.py", [*SMALL, "memory.gap=2"])
    path = tmp_path_factory.mktemp("checkpoints") / "small"
    save_params(path, tiny.draw(make_model(config)), config)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A video turned by 90 degrees, with sound, a few frames later than it."""
    path = clips.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", COUNT, SIZE, sound="aac")
    return clips.turn(path, 90)


@pytest.fixture
def mask(tmp_path):
    """Return the mask of two objects on the upright frame."""
    write_mask(tmp_path / "mask.png", tiny.mask(*SIZE[::-1], (1, 5)))
    return tmp_path / "mask.png"


class Painter:
    """Tracker without a network; returns the last given mask."""

    depth = 1
    during = staticmethod(lambda frame: None)

    def __init__(self, *_, **options):
        self.options = options

    def reset(self):
        self.labels = None

    def step(self, frame, mask=None):
        self.during(frame)
        self.labels = self.labels if mask is None else mask
        return self.labels

    def stream(self, frames):
        return (self.step(frame, mask) for frame, mask in frames)

    def save_state(self, path):
        np.save(path.with_name(path.name + ".npy"), self.labels)
        path.with_name(path.name + ".npy").rename(path)

    def load_state(self, path):
        with path.open("rb") as stream:
            self.labels = np.load(stream)


@pytest.fixture
def painter(monkeypatch):
    """Run the command without a network."""

    class Own(Painter):
        pass

    monkeypatch.setattr(command, "Tracker", Own)
    monkeypatch.setattr(network.FoundNetwork, "load", lambda *_: None)
    monkeypatch.setattr(limits, "warnings", lambda *_: ())
    return Own


def run(video, output, *flags):
    return script.main([str(video), "--output", str(output), "--quiet", *map(str, flags)])


def upright_masks(folder):
    return [read_mask(path) for path in sorted((folder / "masks").iterdir())]


def test_a_video_from_mask_to_overlay_and_exports(clip, mask, checkpoint, tmp_path, capsys):
    out = tmp_path / "out"
    mask = mask.rename(tmp_path / "00003.png")
    flags = ("--mask", mask, "--checkpoint", checkpoint, "--depth", 1, "--save_every", 2)
    exports = ("--export", "coco", "--export", "yolo", "--export", "davis")
    assert run(clip, out, *flags, *exports) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [f"masks: {out}/masks", f"overlay: {out}/overlay.mp4"]
    assert printed.err == ""
    assert sorted(path.name for path in out.iterdir()) == [
        "DAVIS", "coco.json", "coco_images", "masks", "overlay.mp4", "progress.json", "yolo",
    ]  # fmt: skip
    files = sorted((out / "masks").iterdir())
    assert [file.name for file in files] == [f"{i:05d}.png" for i in range(COUNT)]
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == ("P", SIZE)
            assert image.getpalette()[:9] == DAVIS_PALETTE[:3].ravel().tolist()
        assert set(np.unique(read_mask(file))) <= {0, 1, 5}
    np.testing.assert_array_equal(read_mask(files[3]), read_mask(mask))
    overlay = VideoReader(out / "overlay.mp4")
    assert (overlay.size, overlay.rate) == (SIZE[::-1], 24)
    for drawn, frame, file in zip(overlay.frames(), VideoReader(clip).frames(), files, strict=True):
        background = read_mask(file) == 0
        assert drawn.time == frame.time
        if background.any():
            assert np.abs(drawn.pixels.astype(int) - frame.pixels)[background].mean() < 8
    assert clips.sound_of(out / "overlay.mp4")[0] == "aac"
    split = load_split("davis17", out / "DAVIS")
    assert [sequence.name for sequence in split.sequences] == ["clip"]

    assert run(clip, out, *flags, *exports) == 2
    assert "holds something already: continue that run with --resume" in capsys.readouterr().err
    assert run(clip, out, *flags, "--resume") == 0
    assert run(clip, out, *flags, "--resume", "--max_frames", 3) == 2
    assert "max_frames: 50 there, 3 now" in capsys.readouterr().err


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


def test_without_a_checkpoint_it_is_said_how_to_get_one(clip, mask, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(clip, tmp_path / "out", "--mask", mask) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: no checkpoint at checkpoints/aost_r50")
    for way in ("python train.py --config", "python -m aot_jax.convert", "--checkpoint", "--random_weights"):
        assert way in message
    assert not (tmp_path / "out").exists()
    assert run(clip, tmp_path / "out", "--mask", mask, "--checkpoint", tmp_path) == 2
    assert f"error: no checkpoint at {tmp_path}" in capsys.readouterr().err


def test_images_keep_their_names_and_take_a_rate(painter, tmp_path):
    frames = tmp_path / "walk"
    frames.mkdir()
    for i in (9, 10, 11):
        Image.fromarray(clips.picture(i, *SIZE)).save(frames / f"shot_{i}.jpg")
    out = tmp_path / "out"
    assert run(frames / "*.jpg", out, "--box", "2,2,20,20", "--random_weights", "--fps", 10) == 0
    assert sorted(path.name for path in (out / "masks").iterdir()) == ["shot_10.png", "shot_11.png", "shot_9.png"]
    assert VideoReader(out / "overlay.mp4").rate == 10
    assert read_mask(out / "masks" / "shot_10.png").sum() == 18 * 18


def test_the_overlay_shows_each_mask_on_its_frame(painter, tmp_path):
    path = clips.write_clip(tmp_path / "a.mp4", 4, (64, 64), times=[0, 0.04, 0.5, 0.54], options={"crf": "1"})
    out, warnings = tmp_path / "out", []
    for i, side in ((0, 8), (2, 48)):
        labels = np.zeros((64, 64), int)
        labels[4 : 4 + side, 4 : 4 + side] = 4  # blue in the palette
        write_mask(tmp_path / "given" / f"{i:05d}.png", labels)
    assert run(path, out, "--mask", tmp_path / "given", "--random_weights") == 0
    shown = list(VideoReader(out / "overlay.mp4", warnings.append).frames())
    np.testing.assert_allclose([float(frame.time) for frame in shown], [0, 0.04, 0.5, 0.54], atol=1e-3)
    blue = [(f.pixels[..., 2].astype(int) - f.pixels[..., 1] > 25)[40:50, 40:50].all() for f in shown]
    assert blue == [False, False, True, True]


def test_a_variable_rate_is_told_once(painter, mask, tmp_path, capsys):
    path = clips.write_clip(tmp_path / "a.mp4", 4, SIZE[::-1], times=[0, 0.05, 0.5, 0.55])
    assert run(path, tmp_path / "out", "--mask", mask, "--random_weights") == 0
    assert capsys.readouterr().err.splitlines() == [
        "warning: a: its frame rate varies, from 2.222 to 20 a second: masks are numbered by frame, and the overlay "
        "shows each frame at its own time"
    ]


def test_a_truncated_video_is_told_once_and_tracked_as_far_as_it_goes(painter, tmp_path, capsys):
    path = clips.write_clip(tmp_path / "a.webm", 36, (64, 64), codec="libvpx-vp9")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    out = tmp_path / "out"
    assert run(path, out, "--box", "1,1,9,9", "--random_weights") == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {path}: breaks off at ")
    assert len(upright_masks(out)) == VideoReader(out / "overlay.mp4").expected


def test_frames_of_one_pixel(painter, tmp_path):
    frames = tmp_path / "dot"
    frames.mkdir()
    for i in range(3):
        Image.fromarray(np.full((1, 1, 3), 90 * i, np.uint8)).save(frames / f"{i}.png")
    write_mask(tmp_path / "m.png", np.ones((1, 1), int))
    assert run(frames, tmp_path / "out", "--mask", tmp_path / "m.png", "--random_weights", "--export", "yolo") == 0
    assert VideoReader(tmp_path / "out" / "overlay.mp4").size == (2, 2)


def test_masks_may_be_smaller_than_frames(painter, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(painter, "step", lambda self, frame, mask=None: tiny.mask(24, 16, (1,)))
    out = tmp_path / "out"
    flags = ("--box", "1,1,20,20", "--random_weights", "--output_height", 24, "--export", "davis")
    assert run(clip, out, *flags) == 0
    assert upright_masks(out)[0].shape == (24, 16)
    assert VideoReader(out / "overlay.mp4").size == SIZE[::-1]
    with Image.open(out / "DAVIS/JPEGImages/480p/clip/00000.jpg") as image:
        assert image.size == (16, 24)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "error: which objects? Give their mask on a frame, --mask MASK.png, or a box"),
        (("--mask", "none.png"), "error: none.png: no such file"),
        (("--mask", "empty.png"), "error: empty.png: has no object"),
        (("--mask", "other.png"), "error: other.png: the mask is 48x32, but 32x48 (width x height) is needed"),
        (("--mask", "00099.png"), "error: the first mask is for frame 99, but clip has only 6 frames"),
        (("--box", "1,2,3"), "error: --box 1,2,3: a box is x0,y0,x1,y1"),
        (("--box", "0,0,9,9", "--output", "file"), "error: "),
        (("--box", "0,0,9,9", "--config", "aost_r51"), "error: no config at aost_r51: did you mean aost_r50"),
    ],
)
def test_refusals_are_one_line(painter, clip, mask, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    mask.rename("00099.png")
    Path("file").write_text("")
    write_mask("empty.png", np.zeros(SIZE[::-1], int))
    write_mask("other.png", tiny.mask(*SIZE, (1,)))
    assert run(clip, "out", "--random_weights", *flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


def test_a_folder_that_cannot_be_written_is_told_before_the_network_is_loaded(
    painter, clip, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(network.FoundNetwork, "load", lambda *_: pytest.fail("loaded"))
    (tmp_path / "file").write_text("")
    assert run(clip, tmp_path / "file" / "out", "--box", "0,0,9,9", "--random_weights") == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/file/out: results cannot be written there (Not a directory); choose another --output\n"
    )


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
import test_track_command as tests
from PIL import Image
from aot_jax import network
from aot_jax.commands import track
from aot_jax.video import limits, run

run.Tracker, network.FoundNetwork.load, limits.warnings = tests.Painter, lambda *_: None, lambda *_: ()
save = Image.Image.save

def save_half(self, path, **options):
    if ".00004.png" in str(path):
        Path(path).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, path, **options)

Image.Image.save = save_half
track.main(sys.argv[1:])
"""


def test_a_killed_process_leaves_nothing_that_resume_does_not_mend(painter, clip, mask, tmp_path):
    flags = ("--mask", mask, "--random_weights", "--save_every", 2)
    assert run(clip, tmp_path / "whole", *flags) == 0
    out = tmp_path / "out"
    here = Path(__file__).resolve().parents[1]
    code = KILLED.format(paths=[str(Path(__file__).parent), str(here), str(here.parent)])
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_finished_frames_and_resume_goes_on(painter, clip, mask, tmp_path, capsys, number):
    out, seen = tmp_path / "out", []

    def interrupt_the_third(frame):
        seen.append(clips.number_of(np.rot90(frame)))
        if len(seen) == 3:
            signal.raise_signal(number)

    painter.during = staticmethod(interrupt_the_third)
    before = signal.getsignal(number)
    assert run(clip, out, "--mask", mask, "--random_weights") == 130
    assert signal.getsignal(number) is before
    assert "stopped: finished masks are kept; go on with the same command and --resume" in capsys.readouterr().err
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


def test_large_frames_are_told_what_they_take():
    needed = limits.memory_needed(tiny.load("aost"), (2160, 3840), (2160, 3840), 2, 12, 300, 50)
    small = limits.memory_needed(tiny.load("aost"), (480, 854), (480, 854), 2, 12, 300, 50)
    assert small < needed < 8 * limits.GIB
    many = limits.memory_needed(tiny.load("aost"), (480, 854), (480, 854), 2, 12, 300_000, 0)
    assert many > 20 * small
    text = limits.memory_warning(needed, 64 * limits.GIB, (2160, 3840), (2160, 3840), 50)
    assert text.startswith("frames of 3840x2160 need about ")
    assert text.endswith("64.0 GiB are free: consider --output_height 1080 for smaller masks")
    assert limits.memory_warning(small, 64 * limits.GIB, (480, 854), (480, 854), 50) is None
    assert "--max_frames below 50" in limits.memory_warning(needed, needed // 2, (480, 854), (480, 854), 50)


def test_a_disk_that_will_not_do_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda _: SimpleNamespace(free=limits.GIB))
    assert limits.disk_warning(tmp_path, (480, 854), 100, True, 0, 0) is None
    text = limits.disk_warning(tmp_path, (2160, 3840), 10_000, True, 1, 0)
    assert text.startswith(f"{tmp_path} has 1,024 MiB free, but the results may need ")
    state = limits.state_needed(tiny.load("aost", "inference.max_long_edge=0"), (480, 854), 3, 12, 10_000, 50)
    assert state == 2 * 3 * 2 * 31 * 54 * 64 * 32 * 4  # groups, layers, keys and values, grid, slots, channels, bytes
    assert limits.disk_warning(tmp_path, (1, 1), 1, False, 0, limits.GIB // 2).endswith("choose another --output")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(["0.png", "1.png", "2.jpg", "10.jpeg", "a.mp4", ".hidden.png"]),
        st.one_of(st.binary(max_size=60), st.sampled_from(["png", "jpg", "cut", "one"])),
        max_size=4,
    ),
    st.one_of(st.binary(max_size=60), st.sampled_from(["png", "cut", "one"])),
)
def test_no_traceback_for_any_folder_and_mask(painter, tmp_path, capsys, files, given_mask):
    folder = tmp_path / f"fuzz_{os.urandom(6).hex()}"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else image_bytes(tmp_path, content))
    mask = folder.with_suffix(".png")
    mask.write_bytes(given_mask if isinstance(given_mask, bytes) else image_bytes(tmp_path, given_mask))
    code = run(folder, folder / "out", "--mask", mask, "--random_weights", "--no_overlay")
    message = capsys.readouterr().err
    assert code in (0, 2)
    assert message.startswith("error: " if code else "") or message.startswith("warning: ")
    assert "Traceback" not in message


def image_bytes(folder, kind):
    """Draw an image of the test's size, half of its bytes, or an image of one pixel."""
    path = folder / f"whole.{'jpg' if kind == 'jpg' else 'png'}"
    pixels = tiny.mask(*((1, 1) if kind == "one" else SIZE), (1, 2)).astype(np.uint8) * 90
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    return data[: len(data) // 2] if kind == "cut" else data
