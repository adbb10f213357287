"""A page and a plain track.py continue each other's work in one results folder."""

import signal

import numpy as np
import pytest
import tiny
from small_page import FRAMES, H, W

pytest.importorskip("starlette")
from aot_jax import network
from aot_jax.browser.command import open_page
from aot_jax.browser.server import Server
from aot_jax.browser.session import Session
from aot_jax.commands.track import main, make_parser, read_options
from aot_jax.flags import parse_args
from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import read_mask, write_mask
from aot_jax.tracker.tracker import Tracker
from aot_jax.video.options import PageOptions

pytestmark = pytest.mark.slow
FIRST = 1  # number of the frame with the given mask
FLAGS = ("--config", "quickstart", "--random_weights", "--no_overlay", "--quiet")


class Steps(list):
    halt_at = None  # number of steps after which the command is interrupted


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a clip and the mask of one of its frames."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(FRAMES, H, W)):
        write_jpeg(folder / "clip" / f"{t:05d}.jpg", frame)
    write_mask(folder / f"{FIRST:05d}.png", tiny.mask(H, W, (1, 5)))
    return folder


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def all_steps(patch):
    """Run small networks, and return the list of their steps: whether each had a mask."""
    steps = Steps()

    class Counted(Tracker):
        def submit(self, frame, mask=None, **options):
            steps.append(mask is not None)
            if len(steps) == steps.halt_at:
                signal.raise_signal(signal.SIGINT)
            return super().submit(frame, mask, **options)

    model = tiny.load("aost", "memory.gap=2")
    patch.setattr(network.FoundNetwork, "load", lambda *_: model)
    patch.setattr("aot_jax.video.run.Tracker", Counted)
    patch.setattr("aot_jax.browser.command.Tracker", Counted)
    return steps


@pytest.fixture
def steps(all_steps):
    """Return the list of the steps of a test."""
    all_steps.clear()
    all_steps.halt_at = None
    return all_steps


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def page(folder, out, monkeypatch):
    """Return a function that opens the page of `track.py ... --browser` and calls another with its server."""
    monkeypatch.setattr("aot_jax.browser.command.has_desktop", lambda: False)

    def open_and(work, *flags):
        class Kept(Server):
            def __init__(self, *args, **options):
                super().__init__(*args, **options)
                self.session.say = lambda _: None
                servers.append(self)

        def run(_, sockets):
            for each in sockets:
                each.close()
            work(servers[-1])
            servers[-1].tracking.wait()

        servers = []
        monkeypatch.setattr("aot_jax.browser.server.Server", Kept)
        monkeypatch.setattr("uvicorn.Server.run", run)
        args = [str(folder / "clip"), "--output", str(out), *map(str, flags), *FLAGS]
        open_page(read_options(*parse_args(make_parser(), args)), PageOptions(port=0))

    return open_and


def track(direction, frame, stop_at=None):
    """Return a function that tracks, and stops after a frame."""

    def work(server):
        def say(message):
            if stop_at is not None and message["type"] == "frame" and message["index"] == stop_at and "left" in message:
                server.tracking.stop()

        server.session.say = say
        server.tracking.start(direction, frame)
        server.tracking.wait()

    return work


def command(folder, out, *flags):
    return main([str(folder / "clip"), "--output", str(out), *map(str, flags), *FLAGS])


def masks(out):
    found = [read_mask(path) for path in sorted((out / "masks").iterdir())]
    assert len(found) == FRAMES
    return np.stack(found)


@pytest.fixture(scope="module")
def whole(folder, all_steps):
    """Return the masks of the command alone."""
    assert command(folder, folder / "whole", "--mask", folder / f"{FIRST:05d}.png") == 0
    assert all_steps == [True, *4 * [False], True, False]  # 1 2 3 4 5, 1 0
    found = masks(folder / "whole")
    assert len(np.unique(found)) > 1
    assert any((found[i] != found[FIRST]).any() for i in range(FRAMES))  # tracking does something
    return found


@pytest.mark.parametrize("mask", [True, False], ids=["with --mask", "without"])
def test_the_command_goes_on_where_the_page_stopped(folder, out, steps, page, whole, mask, capsys):
    given = ("--mask", folder / f"{FIRST:05d}.png")
    page(track("forward", FIRST, stop_at=3), *given)
    assert steps == [True, False, False]
    steps.clear()
    assert command(folder, out, *(given if mask else ()), "--resume") == 0
    assert steps == [False, False, True, False]  # 4 5, 1 0
    assert ("those drawn in the browser" in capsys.readouterr().err) != mask
    np.testing.assert_array_equal(masks(out), whole)


def test_the_page_goes_on_where_the_command_stopped(folder, out, steps, page, whole):
    given = ("--mask", folder / f"{FIRST:05d}.png")
    steps.halt_at = 3
    assert command(folder, out, *given) == 130
    steps.halt_at = None
    steps.clear()
    page(track("forward", FRAMES - 1), *given)
    assert steps == [False, False]  # 4 5
    page(track("backward", FIRST), *given)
    assert steps[2:] == [True, False]  # 1 0
    steps.clear()
    np.testing.assert_array_equal(masks(out), whole)
    assert command(folder, out, *given, "--resume") == 0
    assert steps == []  # nothing is left to do


def test_the_page_goes_on_with_a_commands_folder_without_its_masks(folder, out, steps, page, whole):
    steps.halt_at = 3
    assert command(folder, out, "--mask", folder / f"{FIRST:05d}.png") == 130
    steps.halt_at = None
    page(track("forward", FRAMES - 1))
    steps.clear()
    assert command(folder, out, "--mask", folder / f"{FIRST:05d}.png", "--resume") == 0
    assert steps == [True, False]  # 1 0
    np.testing.assert_array_equal(masks(out), whole)


def test_stopped_and_gone_on_with_in_the_page_is_never_stopped(folder, out, steps, page, whole):
    def work(server):
        track("both", FIRST, stop_at=2)(server)
        track("forward", 2, stop_at=4)(server)
        track("forward", FRAMES - 1)(server)
        track("backward", FIRST)(server)

    page(work, "--mask", folder / f"{FIRST:05d}.png")
    assert steps == [True, *4 * [False], True, False]
    np.testing.assert_array_equal(masks(out), whole)


def test_a_run_that_broke_off_goes_on_from_its_last_saved_state(folder, out, steps, page, whole, monkeypatch):
    def broken(session, index, labels, lost):
        if index == 4:
            raise RuntimeError("broken off")
        keep(session, index, labels, lost)

    keep = Session.track
    monkeypatch.setattr(Session, "track", broken)
    page(track("forward", FIRST), "--mask", folder / f"{FIRST:05d}.png", "--save_every", 2)
    steps.clear()
    assert command(folder, out, "--resume") == 0
    assert steps == [*3 * [False], True, False]  # the state is that of frame 2: 3 4 5, 1 0
    np.testing.assert_array_equal(masks(out), whole)


def test_a_corrected_run_starts_from_all_given_masks(folder, out, steps, page, whole, capsys):
    given = ("--mask", folder / f"{FIRST:05d}.png")

    def correct(server):
        track("forward", FIRST)(server)
        server.session.give(3, np.roll(server.session.labels(FIRST), 5, axis=1))

    page(correct, *given)
    assert command(folder, out, *given, "--resume") == 2
    assert "changed in the browser" in capsys.readouterr().err
    steps.clear()
    assert command(folder, out, "--resume") == 0
    assert steps == [True, False, True, False, False, True, False]  # 1 2 3 4 5, 1 0


def test_a_correction_is_not_undone_by_the_command_that_opened_the_page(folder, out, steps, page, capsys):
    given = ("--mask", folder / f"{FIRST:05d}.png")
    drawn = np.zeros((H, W), np.int32)
    drawn[5:20, 5:20] = 1
    page(lambda server: server.session.give(FIRST, drawn), *given)
    page(lambda server: np.testing.assert_array_equal(server.session.labels(FIRST), drawn), *given)
