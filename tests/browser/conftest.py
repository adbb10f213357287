"""The page of a small video: its state and server, and the page in headless Chromium."""

import pytest
import tiny
import window
from small_page import FRAMES, H, W, make_server

from aot_jax.browser.session import Session
from aot_jax.io.frames import write_jpeg
from aot_jax.io.sources import open_source
from bench.chromium import PATIENCE, Command, launch, until


@pytest.fixture
def session(tmp_path):
    (tmp_path / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(FRAMES, H, W)):
        write_jpeg(tmp_path / "clip" / f"{t:05d}.jpg", frame)
    folder = tmp_path / "out"
    folder.mkdir()
    return Session(open_source([tmp_path / "clip"]), folder)


@pytest.fixture
def server(session):
    return make_server(session)


@pytest.fixture
def client(server):
    from starlette.testclient import TestClient

    return TestClient(server.app, base_url="http://127.0.0.1:8765")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(window.FRAMES, window.H, window.W) // 2):
        frame[window.SQUARE] = 220, 60, 60
        write_jpeg(folder / "clip" / f"{t:05d}.jpg", frame)
    command = Command(folder, str(folder / "clip"), *window.NETWORK)
    yield command
    command.kill()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = launch(driver)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser, command):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(1000 * PATIENCE)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(command.address)
    until(page, "document.getElementById('count').textContent === 'of 8'")
    page.wait_for_timeout(300)
    yield page
    page.close()
