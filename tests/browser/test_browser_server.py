"""The page's server without a browser: masks, objects, the start of the page and exports."""

import errno
import re

import numpy as np
import pytest
from small_page import FRAMES, ORIGIN, H, W, at, box, put, ws

pytest.importorskip("starlette")
from aot_jax.browser.command import open_page
from aot_jax.browser.files import export
from aot_jax.browser.session import CORRECTED, GIVEN, NOTHING, TRACKED, Session, SessionError
from aot_jax.browser.tracking import Tracking
from aot_jax.io.masks import read_mask, write_mask
from aot_jax.network import NetworkChoice
from aot_jax.video.options import PageOptions, TrackOptions


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


def test_a_mask_is_sent_as_positions_in_the_list(session):
    labels = 65535 * box().astype(np.int32)
    labels[25:30, 25:30] = 3
    session.add_ids([1, 65535, 3])
    session.give(2, labels)
    places = session.places(2)
    assert places.dtype == np.uint8
    np.testing.assert_array_equal(places, 2 * (labels == 65535) + 3 * (labels == 3))
    np.testing.assert_array_equal(session.to_ids(places), labels)


@pytest.mark.parametrize("id_", [-1, 65536])
def test_an_id_that_no_mask_file_holds_is_refused(session, id_):
    with pytest.raises(SessionError, match=f"has the id {id_}, and mask files hold 1 to 65535"):
        session.add_ids([id_])


def test_a_full_disk_is_shown_on_the_page(client, session, monkeypatch):
    session.add_ids([1])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(session, "save", full)
    with client.websocket_connect(ws(session, "a"), headers=ORIGIN) as socket:
        socket.send_json({"type": "rename", "id": 1, "name": "bear"})
        assert "No space left on device" in socket.receive_json()["text"]
        socket.send_json({"type": "hello"})
        assert socket.receive_json()["objects"] == [{"id": 1, "name": "bear"}]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"objects": 3}',
        '{"token": "t", "objects": [{"id": 1}], "status": ""}',
        '{"token": "t", "objects": [{"id": 65536, "name": ""}], "status": ""}',
        '{"token": "", "objects": [], "status": ""}',
    ],
)
def test_a_damaged_state_is_begun_anew(session, content):
    session.add_ids([7])
    session.give(2, 7 * box().astype(np.int32))
    (session.folder / "browser.json").write_text(content)
    again = Session(session.source, session.folder)
    assert len(again.token) > 20
    assert (list(again.names), again.status[2]) == ([7], GIVEN)


def test_an_emptied_mask_is_none(client, session):
    session.add_ids([1])
    put(client, session, 2, box())
    put(client, session, 2, box(0))
    assert session.status[2] == NOTHING
    assert not session.given_path(2).exists()


def test_a_tracked_frame_drawn_over_is_corrected(client, session):
    session.add_ids([1])
    session.track(3, box().astype(np.int32), lost=False)
    put(client, session, 3, np.roll(box(), 3))
    assert session.status[3] == CORRECTED


def test_a_tracked_mask_given_as_it_is_becomes_a_given_one(session):
    session.track(3, box().astype(np.int32), lost=False)
    session.give(3, box().astype(np.int32))
    assert session.status[3] == GIVEN
    assert session.given_path(3).exists()


def test_masks_of_another_height_are_shown_at_that_of_the_frames(session):
    write_mask(session.mask_path(0), np.ones((H // 3, W // 3), np.int32))
    assert session.labels(0).shape == (H, W)


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


def test_names_may_change_while_tracking_runs_and_objects_may_not(client, session, monkeypatch):
    session.add_ids([5])
    monkeypatch.setattr(Tracking, "running", True)
    with client.websocket_connect(ws(session, "a"), headers=ORIGIN) as socket:
        socket.send_json({"type": "rename", "id": 5, "name": "a red car"})
        socket.send_json({"type": "add", "id": 6})
        socket.send_json({"type": "hello"})
        assert "stop it before you change objects" in socket.receive_json()["text"]
        assert socket.receive_json()["objects"] == [{"id": 5, "name": "a red car"}]


def test_a_removed_object_is_in_no_mask(session):
    labels = box().astype(np.int32)
    labels[25:30, 25:30] = 2
    session.add_ids([1, 2])
    session.give(0, labels)
    session.track(1, labels, lost=False)
    session.remove(1)
    assert list(session.names) == [2]
    for index in (0, 1):
        assert np.unique(session.labels(index)).tolist() == [0, 2]


def test_an_object_that_is_not_there_cannot_be_removed(session):
    with pytest.raises(SessionError, match="there is no object 5"):
        session.remove(5)


def test_the_wished_rate_of_the_command_line_is_the_pages(session, monkeypatch):
    rates = []
    monkeypatch.setattr(Tracking, "set_rate", lambda _, fps: rates.append(fps))
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: [each.close() for each in sockets])
    monkeypatch.setattr("aot_jax.browser.command.has_desktop", lambda: False)
    network = NetworkChoice("quickstart", random_weights=True)
    clip = str(session.folder.parent / "clip")
    options = TrackOptions(network, (clip,), output=str(session.folder), target_fps=12.0)
    open_page(options, PageOptions(port=0))
    assert rates == [12]


def test_options_without_effect_on_the_page_are_named(session, monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: [each.close() for each in sockets])
    monkeypatch.setattr("aot_jax.browser.command.has_desktop", lambda: False)
    network = NetworkChoice("quickstart", random_weights=True)
    clip = str(session.folder.parent / "clip")
    options = TrackOptions(network, (clip,), output=str(session.folder), output_height=90, overwrite=True)
    warnings = []
    open_page(options, PageOptions(port=0), warnings.append)
    assert [text.partition(" has no effect")[0] for text in warnings] == ["--output_height 90", "--overwrite"]


@pytest.mark.parametrize("desktop", [True, False])
def test_the_address_is_printed_and_opened_where_there_is_a_desktop(session, monkeypatch, capsys, desktop):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0" if desktop else "")
    monkeypatch.setattr("uvicorn.Server.run", lambda _, sockets: [each.close() for each in sockets])
    network = NetworkChoice("quickstart", random_weights=True)
    options = TrackOptions(network, (str(session.folder.parent / "clip"),), output=str(session.folder))
    open_page(options, PageOptions(port=0))
    address = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(rf"http://127\.0\.0\.1:[1-9]\d+/\?token={session.token}", address)
    assert opened == ([address] if desktop else [])


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
