"""Hostile videos and images: nothing is fetched, and sizes are bounded before anything is decoded."""

import http.server
import struct
import threading
import zlib

import clips
import pytest
from PIL import Image

from aot_jax.io.datasets import DataError
from aot_jax.io.frames import FrameError, read_frame
from aot_jax.io.images import MAX_PIXELS
from aot_jax.io.mask_sets import read_masks
from aot_jax.io.masks import MaskError, read_mask
from aot_jax.io.sources import open_source
from aot_jax.io.video_reader import VideoReader
from data_pipeline import check, frames


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
    with pytest.raises(FrameError, match=r"bomb\.gif: (15000x15000 is more|holds no frame)"):
        VideoReader(tmp_path / "bomb.gif")


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
            (lambda path: frames.encode_image(path.read_bytes(), path.name), DataError),
        ):
            with pytest.raises(error, match=rf"bomb\.png: {width}x{height} is more than"):
                read(path)
    path = tmp_path / "bomb.jpg"
    path.write_bytes(jpeg(65_000, 65_000, path))
    with pytest.raises(FrameError, match=f"65000x65000 is more than {MAX_PIXELS} pixels"):
        read_frame(path)
    with pytest.raises(DataError, match=f"65000x65000 is more than {MAX_PIXELS} pixels"):
        frames.encode_image(path.read_bytes(), path.name)


def test_a_folder_of_bombs_is_reported(tmp_path, capsys, monkeypatch):
    """`python -m data_pipeline.check` may be run on any folder."""
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "clip").mkdir(parents=True)
        for number in range(2):
            (tmp_path / kind / "clip" / f"{number}.png").write_bytes(png(60_000, 60_000, rows=0))
    monkeypatch.setattr("sys.argv", ["check", str(tmp_path)])
    assert check.main() == 2
    assert "60000x60000 is more than" in capsys.readouterr().out
