"""The page's server without a browser: access control, uploads and responses."""

import gzip
import json

import numpy as np
import pytest
import tiny

pytest.importorskip("starlette")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from aot_jax import Tracker
from aot_jax.browser.command import export, load_files
from aot_jax.browser.server import MOST_BYTES, Server
from aot_jax.browser.session import CORRECTED, GIVEN, NOTHING, TRACKED, Session, SessionError
from aot_jax.browser.tracking import Tracking
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import read_mask, write_mask
from aot_jax.io.sources import open_source

H, W, FRAMES = 33, 49, 6
ORIGIN = {"origin": "http://127.0.0.1:8765"}


@pytest.fixture
def session(tmp_path):
    (tmp_path / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(FRAMES, H, W)):
        write_jpeg(tmp_path / "clip" / f"{t:05d}.jpg", frame)
    folder = tmp_path / "out"
    folder.mkdir()
    return Session(open_source([tmp_path / "clip"]), folder)


def make_server(session, host="127.0.0.1"):
    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])
    return Server(
        session,
        tracking,
        start=0,
        network="tiny",
        formats=["davis"],
        load=lambda index, files: load_files(session.source, index, files),
        export=lambda formats, packed: export(session, formats, packed, lambda _: None),
        host=host,
    )


@pytest.fixture
def server(session):
    return make_server(session)


@pytest.fixture
def client(server):
    return TestClient(server.app, base_url="http://127.0.0.1:8765")


def at(session, path):
    return f"/{session.token}/{path}"


def ws(session, client):
    return f"ws://127.0.0.1:8765/{session.token}/ws?client={client}"


def box(value=1):
    mask = np.zeros((H, W), np.uint8)
    mask[5:20, 5:20] = value
    return mask


def put(client, session, index, mask):
    body = gzip.compress(mask.tobytes())
    return client.put(at(session, f"mask/{index}"), content=body, headers=ORIGIN)


def test_a_request_without_the_token_is_refused(client, session):
    for path in ("/", "/?token=", "/?token=wrong", "/frame/0", "/wrong/frame/0", "/wrong/main.js"):
        assert client.get(path).status_code == 403, path
    assert client.get(f"/?token={session.token}").status_code == 200
    assert client.get(at(session, "frame/0")).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", ""])
def test_a_request_to_another_name_is_refused(client, session, host):
    assert client.get(at(session, "frame/0"), headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:22", "[::1]:8765", "localhost"])
def test_any_port_of_this_machine_is_answered_as_through_a_tunnel(client, session, host):
    assert client.get(at(session, "frame/0"), headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null"])
def test_a_request_of_another_page_is_refused(client, session, origin):
    assert client.get(at(session, "frame/0"), headers={"origin": origin}).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(ws(session, ""), headers={"origin": origin}):
        pass


@pytest.mark.parametrize("path", ["/ws", "/wrong/ws"])
def test_a_websocket_without_the_token_is_refused(client, path):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"ws://127.0.0.1:8765{path}", headers=ORIGIN):
        pass


def test_a_change_must_name_its_page(client, session):
    body = gzip.compress(box().tobytes())
    assert client.put(at(session, "mask/0"), content=body).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(ws(session, "")):
        pass


def test_no_path_of_the_page_reaches_the_file_system(client, session):
    for path in ("../out/browser.json", "..%2f..%2fetc%2fpasswd", "main.js/../server.py", "frame/../../x", "frame/a"):
        assert client.get(at(session, path)).status_code in (403, 404), path


def test_an_unknown_frame_is_one_line(client, session):
    answer = client.get(at(session, "frame/6"))
    assert (answer.status_code, answer.text) == (400, "there is no frame 6: clip has 6, from 0")


def test_a_drawn_mask_comes_back_and_is_on_disk_with_its_ids(client, session):
    session.add_ids([7])
    assert put(client, session, 2, box()).status_code == 204
    back = client.get(at(session, "mask/2"))
    assert np.array_equal(np.frombuffer(back.content, np.uint8).reshape(H, W), box())
    assert session.status[2] == GIVEN
    for folder in ("given", "masks"):
        assert np.array_equal(read_mask(session.folder / folder / "00002.png"), 7 * box())


def test_an_emptied_mask_is_none(client, session):
    session.add_ids([1])
    put(client, session, 2, box())
    put(client, session, 2, box(0))
    assert session.status[2] == NOTHING
    assert not session.given_path(2).exists()


def test_a_tracked_frame_drawn_over_is_corrected(client, session):
    session.add_ids([1])
    session.track(3, box().astype(np.int32), lost=False)
    put(client, session, 3, box())
    assert session.status[3] == CORRECTED


@pytest.mark.parametrize(
    "body",
    [b"", b"not gzip", *(gzip.compress(bytes(size), mtime=0) for size in (H * W - 1, H * W + 1, 1 << 24))],
    ids=["empty", "no gzip", "short", "long", "bomb"],
)
def test_a_mask_of_another_size_is_refused_before_it_is_unpacked(client, session, body):
    assert client.put(at(session, "mask/0"), content=body, headers=ORIGIN).status_code == 400


def test_an_object_that_is_not_listed_is_refused(client, session):
    assert put(client, session, 0, box(1)).status_code == 400


@pytest.mark.parametrize("path", ["cut/0", "cut/0?object=x", "cut/0?object=1&box=1,2,3", "load/0?files=[1]", "load/0"])
def test_a_malformed_request_is_refused(client, session, path):
    answer = client.post(at(session, path), content=b"", headers=ORIGIN)
    assert answer.status_code == 400
    assert answer.text.startswith("a request that cannot be read")


def test_uploads_are_bounded(client, session):
    def parts():
        for _ in range(MOST_BYTES // (1 << 20) + 2):
            yield bytes(1 << 20)

    answer = client.post(at(session, "load/0") + '?files=[["a.png",1]]', content=parts(), headers=ORIGIN)
    assert answer.status_code == 400
    assert "64 MiB" in answer.text


def test_a_dropped_mask_file_is_read_strictly(client, session, tmp_path):
    write_mask(tmp_path / "m.png", 4 * box().astype(np.int32))
    data = (tmp_path / "m.png").read_bytes()
    about = json.dumps([["../../m.png", len(data)]])
    answer = client.post(at(session, "load/1"), params={"files": about}, content=data, headers=ORIGIN)
    assert answer.status_code == 200, answer.text
    assert [item.id for item in session.objects] == [4]
    assert np.array_equal(session.labels(1), 4 * box())
    about = json.dumps([["m.png", 9]])
    answer = client.post(at(session, "load/1"), params={"files": about}, content=b"not a PNG", headers=ORIGIN)
    assert answer.status_code == 400


def test_several_dropped_masks_go_to_the_frames_of_their_names(session, tmp_path):
    given = []
    for t in (1, 3):
        write_mask(tmp_path / f"{t:05d}.png", box().astype(np.int32))
        given.append((f"{t:05d}.png", (tmp_path / f"{t:05d}.png").read_bytes()))
    masks, _ = load_files(session.source, 0, given)
    assert sorted(masks) == [1, 3]


def test_a_second_window_is_told_that_the_first_holds_the_video(client, session):
    with client.websocket_connect(ws(session, "a"), headers=ORIGIN) as first:
        first.send_json({"type": "hello"})
        assert first.receive_json()["type"] == "state"
        with client.websocket_connect(ws(session, "b"), headers=ORIGIN) as second:
            with pytest.raises(WebSocketDisconnect) as closed:
                second.receive_json()
            assert closed.value.code == 4409
            assert "Another browser window" in closed.value.reason


def test_a_window_that_reconnects_takes_its_place_again(client, session):
    with (
        client.websocket_connect(ws(session, "a"), headers=ORIGIN),
        client.websocket_connect(ws(session, "a"), headers=ORIGIN) as again,
    ):
        again.send_json({"type": "hello"})
        assert again.receive_json()["type"] == "state"


def test_another_server_of_the_folder_has_the_same_token_objects_and_frames(session):
    session.add_ids([5])
    session.rename(5, "a red car")
    session.give(1, 5 * box().astype(np.int32))
    session.track(2, 5 * box().astype(np.int32), lost=False)
    again = Session(session.source, session.folder)
    assert again.token == session.token
    assert again.objects == session.objects
    assert (again.status[1], again.status[2], again.status[3]) == (GIVEN, TRACKED, NOTHING)
    assert (session.folder / "browser.json").stat().st_mode & 0o077 == 0


def test_a_removed_object_is_in_no_mask(session):
    labels = box().astype(np.int32)
    labels[25:30, 25:30] = 2
    session.add_ids([1, 2])
    session.give(0, labels)
    session.track(1, labels, lost=False)
    session.remove(1)
    assert [item.id for item in session.objects] == [2]
    for index in (0, 1):
        assert np.unique(session.labels(index)).tolist() == [0, 2]


def test_tracking_writes_every_frame_and_keeps_what_was_given(session):
    session.add_ids([1])
    session.give(2, box().astype(np.int32))
    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])
    tracking.start("both", 0)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * FRAMES
    assert session.status[2] == GIVEN
    assert np.array_equal(session.labels(2), box())


def test_a_correction_tracks_only_what_follows(session):
    session.add_ids([1])
    session.give(0, box().astype(np.int32))
    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])
    tracking.start("forward", 0)
    tracking.wait()
    before = [session.mask_path(i).stat().st_mtime_ns for i in range(FRAMES)]
    session.give(3, np.roll(box().astype(np.int32), 4))
    tracking.start("forward", 3)
    tracking.wait()
    after = [session.mask_path(i).stat().st_mtime_ns for i in range(FRAMES)]
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, False, False, True, True, True]
    assert session.status[3] == CORRECTED


def test_a_run_stops_and_goes_on_and_its_depth_may_change(session):
    session.add_ids([1])
    session.give(0, box().astype(np.int32))
    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])

    def stop_at_two(message):
        if message.get("index") == 2 and "speed" in message:
            tracking.set_depth(1)
            tracking.stop()

    session.say = stop_at_two
    tracking.start("forward", 0)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * 3 + [False] * 3
    session.say = lambda _: None
    tracking.start("forward", 2)
    tracking.wait()
    assert [session.mask_path(i).exists() for i in range(FRAMES)] == [True] * FRAMES


def test_a_chosen_depth_ends_the_wish_for_a_rate(server):
    server.tracking.set_rate(12)
    assert (server.state()["depth"], server.state()["fps"]) == (3, 12)
    server.tracking.set_depth(2)
    assert (server.state()["depth"], server.state()["fps"]) == (2, 0)


def test_without_a_mask_there_is_nothing_to_track(session):
    tracking = Tracking(session, lambda: Tracker(tiny.load("aost")), [1, 2, 3])
    with pytest.raises(SessionError, match="mask"):
        tracking.start("both", 0)


def test_what_is_taken_away_has_a_mask_for_every_frame(session):
    session.add_ids([1])
    session.give(0, box().astype(np.int32))
    text, path = export(session, ["davis"], True, lambda _: None)
    import zipfile

    names = zipfile.ZipFile(path).namelist()
    assert {f"masks/{i:05d}.png" for i in range(FRAMES)} <= set(names)
    assert "browser.json" not in names
    assert "5 of 6 frames are not tracked yet" in text
    assert not session.mask_path(1).exists()
