"""Hostile files: no code is run, nothing is fetched or written elsewhere, and sizes are bounded."""

import contextlib
import http.server
import json
import pickle
import re
import shutil
import struct
import threading
import zlib
from pathlib import Path

import clips
import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax import Tracker, convert
from aot_jax.checkpoint import CheckpointError, save_params
from aot_jax.config import ConfigError, load_config
from aot_jax.evaluation.splits import load_split
from aot_jax.io import datasets, npz
from aot_jax.io.datasets import DataError
from aot_jax.io.frames import MAX_PIXELS, FrameError, read_frame
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.masks import MaskError, read_mask
from aot_jax.io.names import is_plain
from aot_jax.io.sources import open_source
from aot_jax.io.video_reader import VideoReader
from aot_jax.network import config_of, load_params, make_model
from aot_jax.tracker.tracker import TrackError
from data_pipeline import check, masks

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = ("model.channels=32", "model.heads=2", "model.window=3", "model.depth=1", "model.encoder=tiny")


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def trap(tmp_path):
    """Return the path of a file that only hostile code would create."""
    path = tmp_path / "trap"
    yield path
    assert not path.exists()


# Checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    config = load_config("aost", SMALL)
    path = tmp_path_factory.mktemp("checkpoints") / "weights"
    save_params(path, tiny.draw(make_model(config)), config)
    return path


@pytest.fixture
def checkpoint(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "weights")


def describe(checkpoint, **changes):
    """Change the config stored in a checkpoint."""
    path = checkpoint / "model.json"
    content = json.loads(path.read_text())
    content["config"] |= changes
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("form", ["{}/evil.py", "../weights/evil.py", "weights/evil.py", "evil", "weights/evil"])
def test_the_config_of_a_checkpoint_is_data(checkpoint, trap, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    code = f"open({str(trap)!r}, 'w')\ndef get_config(): raise SystemExit"
    for path in (checkpoint / "evil.py", tmp_path / "configs" / "evil.py", tmp_path / "configs" / "aost.py"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    describe(checkpoint, name=form.format(checkpoint))
    assert config_of(checkpoint).model.channels == 32  # the fields are used, the name is not
    describe(checkpoint, name="aost")
    assert config_of(checkpoint).name == "aost"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"config": []}',
        '{"config": {"name": ["aost"], "model": {}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": 3, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"depth": "' + "-" * 100_000 + '1"}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"depth": "open(1)"}, "memory": {}, "inference": {}}}',
        '{"config": {"name": "aost", "model": {"encoder": "os.system"}, "memory": {}, "inference": {}}}',
    ],
)
def test_broken_configs_of_checkpoints_are_refused(checkpoint, content):
    (checkpoint / "model.json").write_text(content)
    with pytest.raises((CheckpointError, ConfigError)):
        load_params(checkpoint, config_of(checkpoint))
    with pytest.raises(CheckpointError):
        load_params(checkpoint, load_config("aost", SMALL))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax drops its other reads
def test_nothing_in_a_checkpoint_is_unpickled(checkpoint, trap):
    config, bomb = load_config("aost", SMALL), pickle.dumps(Bomb(trap))
    for path in sorted((checkpoint / "params").rglob("*")):
        if path.is_file() and "ocdbt.process_0" not in path.parts:  # their contents are also in manifest.ocdbt and d
            whole = path.read_bytes()
            path.write_bytes(bomb)
            with contextlib.suppress(CheckpointError):  # some files are not needed
                load_params(checkpoint, config)
            path.write_bytes(whole)
    load_params(checkpoint, config)


def test_a_checkpoint_of_other_shapes_is_refused_before_it_is_read(checkpoint, tmp_path):
    """The metadata is valid, but the arrays may have any size."""
    params = jax.tree.map(np.asarray, load_params(checkpoint, load_config("aost", SMALL)))
    params["identity_bank"]["kernel"] = np.zeros((17, 17, 11, 4096), np.float32)
    save_params(tmp_path / "large", params, load_config("aost", SMALL))
    with pytest.raises(CheckpointError, match="in another shape: identity_bank/kernel"):
        load_params(tmp_path / "large", load_config("aost", SMALL))


def test_no_npz_is_unpickled(trap, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([Bomb(trap)], dtype=object))
    with pytest.raises(convert.ConvertError, match=r"not a readable \.npz file"):
        convert.read_arrays(path)
    with pytest.raises(TrackError, match="no saved state"):
        Tracker(tiny.load("aost", "model.depth=1")).load_state(path)


def test_arrays_may_not_claim_more_than_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_BYTES", 10**6)
    np.savez_compressed(tmp_path / "fits.npz", a=np.zeros(10**6 - 1000, np.uint8))
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(10**6, np.uint8))
    assert (tmp_path / "bomb.npz").stat().st_size < 2000
    assert convert.read_arrays(tmp_path / "fits.npz")["a"].size == 10**6 - 1000
    with pytest.raises(convert.ConvertError, match=r"bomb\.npz is not a readable .*claims 1000128 bytes"):
        convert.read_arrays(tmp_path / "bomb.npz")
    np.savez_compressed(tmp_path / "state.npz", meta=np.array("{}"))
    with pytest.raises(TrackError, match="it is compressed"):
        Tracker(tiny.load("aost", "model.depth=1")).load_state(tmp_path / "state.npz")


def test_no_pth_is_unpickled(trap, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is optional")
    torch.save({"a": Bomb(trap)}, tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Bomb(trap)))
    for name in ("a.pth", "b.pth"):
        with pytest.raises(convert.ConvertError, match=r"not unpickled|no file of PyTorch weights"):
            convert.read_arrays(tmp_path / name)


RISKY = re.compile(
    r"\b(pickle|cPickle|dill|joblib|marshal|shelve)\b|allow_pickle=True|weights_only=False|\bextractall\(|\bos\.system\("
    r"|shell=True|\byaml\.(unsafe_)?load\(|(?<![\w.])(eval|exec)\(|\burlopen\(|\bImage\.open\(|\bav\.open\("
    r"|\bnp\.load\((?!.*allow_pickle=False)|\btorch\.load\((?!.*weights_only=True)"
)
ALLOWED = {
    ("aot_jax/io/video_writer.py", "av.open("),  # to write
    ("aot_jax/io/video_stream.py", "av.open("),  # within bounds
}


def test_files_are_opened_in_the_guarded_places_only():
    root = Path(__file__).resolve().parents[1]
    files = [*root.glob("*.py"), *root.glob("aot_jax/**/*.py"), *root.glob("data_pipeline/**/*.py")]
    assert len(files) > 80
    found = {
        (path.relative_to(root).as_posix(), match.group())
        for path in files
        for match in RISKY.finditer(path.read_text())
    }
    assert found == ALLOWED


# Videos


@pytest.fixture(scope="module")
def server():
    """A local web server that must not receive a request."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
    assert asked == []


def test_urls_are_not_fetched(server):
    with pytest.raises(FrameError, match="videos are not fetched; download it"):
        open_source([f"{server}/clip.mp4"])
    for name in (f"{server}/clip.mp4", f"concat:{server}/clip.mp4", f"hls+{server}/clip.m3u8"):
        with pytest.raises(FrameError, match="no such file"):
            VideoReader(name)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"


@pytest.mark.parametrize("name", ["list.m3u8", "list.ffconcat", "list.mpd", "list.sdp", "clip.mp4", "clip.webm"])
@pytest.mark.parametrize("text", [HLS, DASH, SDP, "ffconcat version 1.0\nfile {}\n"])
def test_playlists_reach_neither_the_network_nor_other_files(server, tmp_path, name, text):
    clips.write_clip(tmp_path / "private.ts", 2)
    for target in ("private.ts", str(tmp_path / "private.ts"), f"file://{tmp_path}/private.ts", f"{server}/clip.ts"):
        (tmp_path / name).write_text(text.format(target))
        with pytest.raises(FrameError, match="cannot be opened as a video"):
            open_source([tmp_path / name])


def test_a_name_like_a_protocol_is_that_of_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("12:30.mp4", "concat:a.mp4", "http:a.mp4", "a%03d.mp4"):
        clips.write_clip(tmp_path / "plain.mp4", 2).rename(name)
        assert len(list(open_source([name]).frames())) == 2


def gif(width, height):
    """Return an image of one pixel on a canvas of any size."""
    frame = struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x4c\x01\0"
    header = b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    return header + b"\x21\xf9\x04\0\x0a\0\0\0\x2c" + frame + b"\x3b"


@pytest.mark.parametrize("side", [15_000, 65_535])
def test_a_video_may_not_claim_more_than_the_bound(tmp_path, side):
    (tmp_path / "bomb.gif").write_bytes(gif(side, side))
    with pytest.raises(FrameError, match=r"bomb\.gif: (its frames of 15000x15000 are more|holds no frame)"):
        VideoReader(tmp_path / "bomb.gif")


# Images


def png(width, height, rows=1):
    """Return a grey PNG whose header claims any size, with some rows of zeros."""
    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", ihdr), (b"IDAT", zlib.compress(bytes((width + 1) * rows))), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width, height, path):
    """Return a small JPEG whose header claims any size."""
    Image.new("L", (8, 8)).save(path, "JPEG")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def test_pictures_are_measured_before_they_are_decoded(tmp_path):
    for width, height in ((1 << 20, 1 << 10), (60_000, 60_000), ((1 << 31) - 1, (1 << 31) - 1)):
        path = tmp_path / "bomb.png"
        path.write_bytes(png(width, height, rows=0))
        for read, error in (
            (read_mask, MaskError),
            (read_frame, FrameError),
            (read_masks, MaskError),
            (lambda path: masks.encode_image(path.read_bytes(), path.name), DataError),
        ):
            with pytest.raises(error, match=rf"bomb\.png: {width}x{height} is more than"):
                read(path)
    path = tmp_path / "bomb.jpg"
    path.write_bytes(jpeg(65_000, 65_000, path))
    with pytest.raises(FrameError, match=f"65000x65000 is more than {MAX_PIXELS} pixels"):
        read_frame(path)
    with pytest.raises(DataError, match=f"65000x65000 is more than {MAX_PIXELS} pixels"):
        masks.encode_image(path.read_bytes(), path.name)


def test_a_folder_of_bombs_is_reported(tmp_path, capsys, monkeypatch):
    """`python -m data_pipeline.check` may be run on any folder."""
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "clip").mkdir(parents=True)
        for number in range(2):
            (tmp_path / kind / "clip" / f"{number}.png").write_bytes(png(60_000, 60_000, rows=0))
    monkeypatch.setattr("sys.argv", ["check", str(tmp_path)])
    assert check.main() == 2
    assert "60000x60000 is more than" in capsys.readouterr().out


# Names


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "a\0b", ".hidden"])
def test_names_that_lead_elsewhere(name):
    assert not is_plain(name)


@pytest.mark.parametrize("name", ["bear", "0062f687f1", "bike-packing", "a..b", "ä ö", "C#"])
def test_names_of_videos(name):
    assert is_plain(name)


def davis(root, line):
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        folder = root / kind / "480p" / "bear"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8), 1).save(folder / f"00000.{suffix}")
        Image.new("L", (8, 8), 1).save(folder.parent / f"00000.{suffix}")
    for listing in ("2016/val.txt", "2017/val.txt", "2017/test-dev.txt", "2017/train.txt"):
        (root / "ImageSets" / listing).parent.mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / listing).write_text(f"bear\n{line}\n")


@pytest.mark.parametrize("line", ["..", "../..", "../../x/../00000.jpg", "/", "a\0b", "480p/../00000.jpg"])
def test_lists_of_sequences_name_no_other_folder(tmp_path, line):
    davis(tmp_path / "DAVIS", line)
    for split in ("davis16", "davis17", "davis17_testdev"):
        with pytest.raises(DataError, match="is no name of a video"):
            load_split(split, tmp_path)
    with pytest.raises(DataError, match="is no name of a video"):
        datasets.find("davis17", tmp_path)


def youtubevos(root, name, frames):
    meta = {"videos": {name: {"objects": {"1": {"category": "cat", "frames": frames}}}}}
    for part in ("valid", "train"):
        for folder in ("JPEGImages", "Annotations"):
            (root / part / folder).mkdir(parents=True)
        (root / part / "meta.json").write_text(json.dumps(meta))


@pytest.mark.parametrize("name", ["../../x", "/tmp", "a\0b", "..", ""])
def test_meta_json_names_no_other_folder(tmp_path, name):
    youtubevos(tmp_path / "YouTubeVOS" / "2018", name, ["00000", "00005"])
    with pytest.raises(DataError, match="is no name of a video"):
        load_split("youtubevos18", tmp_path)
    with pytest.raises(DataError, match="is no name of a video"):
        datasets.find("youtube_vos18", tmp_path)


def test_meta_json_names_no_other_frame(tmp_path):
    root = tmp_path / "YouTubeVOS" / "2018"
    youtubevos(root, "cat", ["00000", "../../../00005"])
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (root / "valid" / folder / "cat").mkdir()
        Image.new("L", (8, 8), 1).save(root / "valid" / folder / "cat" / f"00000.{suffix}")
    with pytest.raises(DataError, match="is no name of a frame"):
        load_split("youtubevos18", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"videos": [true]}', '{"videos": {"a": {"objects": {"1": {"frames": [["a"], ["b"]]}}}}}', "\0"],
)
def test_any_meta_json_is_refused_in_words(tmp_path, content):
    youtubevos(tmp_path / "YouTubeVOS" / "2018", "cat", ["00000"])
    for part in ("valid", "train"):
        (tmp_path / "YouTubeVOS" / "2018" / part / "meta.json").write_text(content)
    with pytest.raises(DataError):
        load_split("youtubevos18", tmp_path)
    with pytest.raises(DataError):
        datasets.find("youtube_vos18", tmp_path)


@pytest.mark.parametrize("name", ["...mp4", ".hidden.mp4"])
def test_results_are_not_named_after_a_folder_above(tmp_path, name):
    """Results go to results/track/NAME, and exports name a folder by it."""
    path = clips.write_clip(tmp_path / "a.mp4", 2).rename(tmp_path / name)
    assert open_source([path]).name == "video"
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    assert open_source([tmp_path / "0.png"]).name == "0"
    assert open_source([Path("/").joinpath(*tmp_path.parts[1:]) / "0.png"]).name == "0"
