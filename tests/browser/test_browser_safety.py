"""What the page's server refuses: strangers, other pages, malformed and large requests, a second window."""

import gzip
import json
import re
import socket
import sys

import numpy as np
import pytest
import tiny
from small_page import ORIGIN, H, W, at, box, make_server, put, ws

pytest.importorskip("starlette")
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from aot_jax.browser.command import open_page
from aot_jax.browser.server import MOST_BYTES, PAGE
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import write_mask
from aot_jax.network import NetworkChoice
from aot_jax.runs import RunError
from aot_jax.video.options import PageOptions, TrackOptions

HERE = socket.gethostname()


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


def test_a_server_at_an_address_of_version_6_answers_to_it(session):
    client = TestClient(make_server(session, "fe80::1").app)
    for name, code in (("[fe80::1]:8765", 200), ("[fe80::2]:8765", 403)):
        assert client.get(at(session, "frame/0"), headers={"host": name}).status_code == code


@pytest.mark.parametrize(
    ("name", "answered"),
    [("192.168.0.7:8765", True), ("[fe80::1]:8765", True), ("LOCALHOST", True), (HERE, True), ("evil.example", False)],
)
def test_a_server_for_other_machines_answers_to_addresses_and_its_own_name(session, name, answered):
    client = TestClient(make_server(session, "0.0.0.0").app)
    code = client.get(at(session, "frame/0"), headers={"host": name}).status_code
    assert code == (200 if answered else 403)


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


def test_the_page_loads_nothing_from_elsewhere(client, session):
    answer = client.get(f"/?token={session.token}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert client.get(at(session, "frame/x")).headers["x-content-type-options"] == "nosniff"
    files = [client.get(at(session, name)) for name in PAGE]
    assert {file.status_code for file in files} == {200}
    for text in (answer.text, *(file.text for file in files)):
        assert set(re.findall(r"[a-z]+://[^\s\"']*", text)) <= {"http://www.w3.org/2000/svg"}


def test_no_path_of_the_page_reaches_the_file_system(client, session):
    for path in ("../out/browser.json", "..%2f..%2fetc%2fpasswd", "main.js/../server.py", "frame/../../x", "frame/a"):
        assert client.get(at(session, path)).status_code in (403, 404), path


@pytest.mark.parametrize(
    "body",
    [b"", b"not gzip", *(gzip.compress(bytes(size), mtime=0) for size in (H * W - 1, H * W + 1, 1 << 24))],
    ids=["empty", "no gzip", "short", "long", "bomb"],
)
def test_a_mask_of_another_size_is_refused_before_it_is_unpacked(client, session, body):
    assert client.put(at(session, "mask/0"), content=body, headers=ORIGIN).status_code == 400


def test_an_object_that_is_not_listed_is_refused(client, session):
    assert put(client, session, 0, box(1)).status_code == 400


@pytest.mark.parametrize(
    "path",
    ["cut/0", "cut/0?object=x", "cut/0?object=1&box=1,2,3", "load/0?files=[1]", "load/0", 'load/0?files=[["a",1e999]]'],
)
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
    assert list(session.names) == [4]
    assert np.array_equal(session.labels(1), 4 * box())
    about = json.dumps([["m.png", 9]])
    answer = client.post(at(session, "load/1"), params={"files": about}, content=b"not a PNG", headers=ORIGIN)
    assert answer.status_code == 400


BROKEN = ["", "{", "\x00", "[" * 100_000, '{"type": ' * 50_000]
WRONG = [
    *(5, None, [], "hello", {}, {"type": []}, {"type": "track"}, {"type": "track", "direction": "up", "frame": 0}),
    *({"type": "track", "direction": "forward", "frame": x} for x in (-1, 6, 1e999, "x", None, [0])),
    *({"type": "fps", "fps": x} for x in (-1, 1e999, float("nan"), "x", None)),
    *({"type": "depth", "depth": x} for x in (0, 4, -1e999, {})),
    *({"type": "add", "id": x} for x in (-1, 65536, 1e999, "../x", None)),
]


@pytest.mark.parametrize("message", BROKEN, ids=range(len(BROKEN)))
def test_a_message_that_is_no_json_ends_its_connection_only(client, session, message):
    with client.websocket_connect(ws(session, "a"), headers=ORIGIN) as socket:
        socket.send_text(message)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1003
    assert client.get(at(session, "frame/0")).status_code == 200


@pytest.mark.parametrize("message", WRONG, ids=range(len(WRONG)))
def test_a_message_that_makes_no_sense_changes_nothing(client, server, session, message):
    before = server.state()
    with client.websocket_connect(ws(session, "a"), headers=ORIGIN) as socket:
        socket.send_text(json.dumps(message))
        socket.send_json({"type": "hello"})
        answers = [socket.receive_json()]
        if answers[0]["type"] == "notice":
            answers.append(socket.receive_json())
    assert answers[-1] == before


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


@pytest.mark.parametrize(("page", "host"), [(PageOptions(port=0), "127.0.0.1"), (PageOptions("0.0.0.0", 0), "0.0.0.0")])
def test_only_this_machine_is_served_unless_host_says_otherwise_which_is_warned_of(tmp_path, monkeypatch, page, host):
    served, warnings = [], []

    def run(self, sockets):
        for each in sockets:
            served.append(each.getsockname()[0])
            each.close()

    monkeypatch.setattr("aot_jax.browser.command.has_desktop", lambda: False)
    monkeypatch.setattr("uvicorn.Server.run", run)
    open_page(page_of(tmp_path), page, warnings.append)
    assert served == [host]
    assert any(f"served at {host}: whoever reaches it" in line for line in warnings) == (host == "0.0.0.0")


def test_missing_libraries_are_one_line_that_names_the_requirements(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(RunError, match=r"^--browser needs starlette.*: pip install -r requirements-browser.txt$"):
        open_page(page_of(tmp_path), PageOptions())


def page_of(folder):
    """Write a frame and return the options of a run on it."""
    (folder / "clip").mkdir()
    write_jpeg(folder / "clip" / "00000.jpg", tiny.frames(1, H, W)[0])
    network = NetworkChoice("quickstart", random_weights=True)
    return TrackOptions(network, (str(folder / "clip"),), output=str(folder / "out"))
