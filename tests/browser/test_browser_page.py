"""The page in headless Chromium: draw, track, correct, rename, export, and survive a server restart."""

import os
import time
import zipfile

import numpy as np
import pytest
import tiny
from PIL import Image

from aot_jax.io.frames import write_jpeg
from aot_jax.io.masks import read_mask, write_mask
from bench.chromium import CHROMIUM, PATIENCE, ROOT, Command, launch, on_frame, until

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
FRAMES, H, W = 8, 96, 128
NETWORK = ("--config", "quickstart", "--random_weights", "--max_frames", "4")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "clip").mkdir()
    for t, frame in enumerate(tiny.frames(FRAMES, H, W)):
        write_jpeg(folder / "clip" / f"{t:05d}.jpg", frame)
    command = Command(folder, str(folder / "clip"), *NETWORK)
    yield command
    command.kill()


@pytest.fixture(scope="module")
def browser():
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


def drag(page, *points):
    page.mouse.move(*on_frame(page, (H, W), *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*on_frame(page, (H, W), *point), steps=4)
    page.mouse.up()


def seek(page, index):
    page.fill("#frame", str(index))
    page.press("#frame", "Enter")
    until(page, f"document.getElementById('timeline').getAttribute('aria-valuenow') === '{index}'")
    page.locator("#view").focus()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def finished(page):
    until(page, "/Done|Stopped/.test(document.getElementById('progress').textContent)")


def mask_of(command, index, folder="masks"):
    return command.folder / "out" / folder / f"{index:05d}.png"


# The tests run in order; each continues from the page state of the previous one.


def test_a_box_and_a_brush_stroke_become_the_first_mask(page, command):
    page.keyboard.press("r")
    drag(page, (20, 20), (50, 60))
    wait_for(mask_of(command, 0, "given").exists)
    page.keyboard.press("n")
    page.keyboard.press("b")
    drag(page, (80, 30), (100, 30), (100, 60))
    wait_for(lambda: set(np.unique(read_mask(mask_of(command, 0, "given")))) == {0, 1, 2})
    mask = read_mask(mask_of(command, 0, "given"))
    assert abs(int((mask == 1).sum()) - 30 * 40) < 150
    assert mask[30, 90] == 2


def test_undo_and_redo(page, command):
    page.keyboard.press("Control+z")
    wait_for(lambda: 2 not in read_mask(mask_of(command, 0, "given")))
    page.keyboard.press("Control+y")
    wait_for(lambda: 2 in read_mask(mask_of(command, 0, "given")))


def test_tracking_goes_on_while_the_page_is_loaded_anew(page, command):
    page.keyboard.press("t")
    until(page, "!document.getElementById('stop').hidden")
    page.reload()  # while the network compiles
    until(page, "document.querySelectorAll('#objects li').length === 2")
    assert page.is_visible("#stop")
    finished(page)
    assert all(mask_of(command, i).exists() for i in range(FRAMES))
    assert not page.is_visible("#stop")
    page.locator("#view").focus()


def test_a_polygon_corrects_a_frame_and_only_what_follows_is_tracked_again(page, command):
    seek(page, 4)
    page.keyboard.press("1")
    page.keyboard.press("p")
    for point in ((60, 50), (90, 50), (90, 80), (60, 80)):
        page.mouse.click(*on_frame(page, (H, W), *point))
    page.keyboard.press("Enter")
    wait_for(mask_of(command, 4, "given").exists)
    before = [mask_of(command, i).stat().st_mtime_ns for i in range(FRAMES)]
    page.evaluate("document.getElementById('progress').textContent = ''")
    page.keyboard.press("t")
    finished(page)
    after = [mask_of(command, i).stat().st_mtime_ns for i in range(FRAMES)]
    assert [a != b for a, b in zip(after, before, strict=True)][:4] == [False] * 4
    assert all(a != b for a, b in zip(after[5:], before[5:], strict=True))
    assert read_mask(mask_of(command, 4))[65, 75] == 1


def test_a_name_stays_when_the_page_is_loaded_anew(page):
    page.fill("#objects input[data-id='2']", "the second")
    page.press("#objects input[data-id='2']", "Enter")
    page.wait_for_timeout(500)
    page.reload()
    until(page, "document.querySelector(\"#objects input[data-id='2']\")?.value === 'the second'")


def test_a_dropped_mask_file_is_taken(page, command):
    seek(page, 6)
    labels = np.zeros((H, W), np.int32)
    labels[10:30, 10:30] = 3
    write_mask(command.folder / "drop.png", labels)
    page.set_input_files("#file", str(command.folder / "drop.png"))
    wait_for(mask_of(command, 6, "given").exists)
    until(page, "document.querySelectorAll('#objects li').length === 3")


def test_a_killed_server_is_found_again_and_nothing_is_lost(page, command):
    command.kill()
    until(page, "document.getElementById('link').textContent !== ''")
    masks = sorted(path.name for path in (command.folder / "out" / "masks").glob("*.png"))
    address = command.address
    command.start()
    assert command.address == address
    until(page, "document.getElementById('link').textContent === ''")
    assert sorted(path.name for path in (command.folder / "out" / "masks").glob("*.png")) == masks
    seek(page, 2)


def test_a_second_window_is_told(browser, page, command):
    other = browser.new_page()
    other.goto(command.address)
    until(other, "!document.getElementById('held').hidden")
    assert "Another browser window" in other.inner_text("#held")
    other.close()


def test_the_zip_has_a_mask_for_every_frame_and_the_export(page):
    page.check("#exports input[value='davis']")
    with page.expect_download() as download:
        page.click("#zip")
    names = zipfile.ZipFile(download.value.path()).namelist()
    assert {f"masks/{i:05d}.png" for i in range(FRAMES)} <= set(names)


def test_every_control_has_a_name_and_keys_reach_it(page):
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas')].filter((e) => !(e.textContent.trim()
        || e.getAttribute('aria-label') || e.labels?.length || e.title)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    count = page.evaluate(
        """() => {
            document.body.tabIndex = -1;
            document.body.focus();
            window.all = [...document.querySelectorAll('button, input, select, canvas')]
                .filter((e) => !e.disabled && e.checkVisibility() && !e.closest('dialog'));
            window.reached = new Set();
            return window.all.length;
        }"""
    )
    assert count > 30
    for _ in range(count):
        page.keyboard.press("Tab")
        page.evaluate("window.reached.add(document.activeElement)")
        shown = "getComputedStyle(document.activeElement.closest('.file') ?? document.activeElement).outlineStyle"
        assert page.evaluate(shown) == "solid"  # the focus is visible
    assert page.evaluate("window.all.filter((e) => !window.reached.has(e)).map((e) => e.outerHTML)") == []
    page.locator("#view").focus()
    page.keyboard.press("Shift+?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")


@pytest.mark.parametrize("size", [(1024, 700), (1280, 800), (2560, 1440)])
def test_nothing_is_cut_off(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.evaluate(
        """[...document.querySelectorAll('header, nav, aside, footer')].filter((e) => e.scrollWidth > e.clientWidth + 1)
        .map((e) => e.tagName)"""
    )
    assert wide == []


def test_the_page_raised_no_error(page, command):
    assert page.faults == []
    assert command.stop() in (0, 130)


def test_the_picture_of_the_page_shows_the_example_with_its_mask(browser, tmp_path):
    """Write docs/browser.png anew where AOT_JAX_PICTURES is set."""
    example = ROOT / "examples"
    command = Command(tmp_path, str(example / "clip.mp4"), "--mask", str(example / "clip.png"), *NETWORK)
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(command.address)
    until(page, "document.querySelectorAll('#objects li').length === 2")
    page.fill("#objects input[data-id='1']", "man")
    page.press("#objects input[data-id='1']", "Enter")
    page.fill("#objects input[data-id='2']", "bin")
    page.press("#objects input[data-id='2']", "Enter")
    page.wait_for_timeout(1000)
    picture = ROOT / "docs" / "browser.png" if os.environ.get("AOT_JAX_PICTURES") else tmp_path / "page.png"
    page.screenshot(path=picture)
    page.close()
    assert command.stop() in (0, 130)
    shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    blue = shown[..., 2] - shown[..., 0] > 40  # the tint of the first object, rare in the clip itself
    assert blue[:, 150:1000].sum() > 5000
