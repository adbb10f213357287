"""Tools, loading, running and writing in headless Chromium, by keys and pointer."""

import re

import numpy as np
import window
from window import H, W, drag, finished, mask_of, seek, wait_for

from aot_jax.io.masks import read_mask, write_mask
from bench.chromium import on_frame, until

pytestmark = window.MARKS

# The tests run in order; each continues from the page state of the previous one.


def given(command, index):
    """Return a mask that was drawn or loaded, zeros if there is none."""
    path = mask_of(command, index, "given")
    return read_mask(path) if path.exists() else np.zeros((H, W), np.int32)


def brush(page, size):
    page.evaluate("(size) => document.getElementById('size').oninput({ target: { value: size } })", size)


def test_the_eraser_removes_and_fill_gives_to_another_object(page, command):
    page.keyboard.press("r")
    drag(page, (20, 20), (60, 60))
    wait_for(lambda: given(command, 0)[40, 40] == 1)
    page.keyboard.press("e")
    drag(page, (40, 40), (50, 40))
    wait_for(lambda: given(command, 0)[40, 40] == 0)
    assert given(command, 0)[22, 22] == 1
    page.keyboard.press("n")
    page.keyboard.press("f")
    page.mouse.click(*on_frame(page, (H, W), 22, 22))
    wait_for(lambda: given(command, 0)[22, 22] == 2)
    assert 1 not in given(command, 0)


def test_strokes_go_where_the_pointer_is_after_zoom_and_pan(page, command):
    seek(page, 1)
    page.keyboard.press("b")
    brush(page, 2)
    x, y = on_frame(page, (H, W), 64.5, 48.5)
    before = (on_frame(page, (H, W), 65.5, 48.5)[0] - x) * 20  # twenty pixels of the frame on the screen
    page.mouse.move(x, y)
    page.mouse.wheel(0, -500)
    page.mouse.click(x, y)
    wait_for(lambda: given(command, 1)[48, 64] == 2)
    page.mouse.click(x + before, y)
    wait_for(lambda: (given(command, 1)[48, 66:] == 2).any())
    near = int(np.flatnonzero(given(command, 1)[48]).max())
    assert 64 < near < 80  # fewer than twenty, since they are larger now
    page.keyboard.down(" ")
    page.mouse.move(x + before, y)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    page.keyboard.up(" ")
    page.keyboard.press("e")
    page.mouse.click(x, y)  # what was there has been moved here
    wait_for(lambda: given(command, 1)[48, near] == 0)
    assert given(command, 1)[48, 64] == 2
    page.keyboard.press("0")
    page.keyboard.press("b")
    page.mouse.click(*on_frame(page, (H, W), 10.5, 10.5))
    wait_for(lambda: given(command, 1)[10, 10] == 2)
    brush(page, 24)


def test_a_box_and_strokes_become_masks_along_edges(page, command):
    seek(page, 2)
    page.keyboard.press("c")
    with page.expect_response(lambda answer: "/cut/2" in answer.url) as answer:
        drag(page, (16, 16), (80, 80))
    assert answer.value.ok
    wait_for(lambda: given(command, 2).any())
    square = np.zeros((H, W), bool)
    square[window.SQUARE] = True
    assert ((given(command, 2) == 2) != square).mean() < 0.02
    seek(page, 3)
    page.keyboard.press("b")
    drag(page, (44, 48), (52, 48))
    wait_for(lambda: given(command, 3).any())
    assert ((given(command, 3) == 2) != square).sum() > square.sum() / 3
    with page.expect_response(lambda answer: "/cut/3" in answer.url) as answer:
        page.keyboard.press("g")
    assert answer.value.ok
    wait_for(lambda: ((given(command, 3) == 2) != square).mean() < 0.02)


def test_masks_are_loaded_by_the_button(page, command):
    labels = np.zeros((H, W), np.int32)
    labels[10:30, 10:30] = 5
    files = [command.folder / f"{index:05d}.png" for index in (5, 7)]
    for file in files:
        write_mask(file, labels)
    page.set_input_files("#file", files)
    wait_for(lambda: given(command, 5).any() and given(command, 7).any())
    np.testing.assert_array_equal(given(command, 7), labels)
    until(page, "document.querySelectorAll('#objects li').length === 3")


def test_a_dropped_folder_is_all_its_files(page):
    paths = page.evaluate(
        """async () => {
            const { dropped } = await import(new URL("drop.js", document.baseURI));
            const file = (name) => ({ name, isFile: true, file: (done) => done(new File(["x"], name)) });
            const folder = (name, children) => ({ name, isFile: false, createReader: () => ({
                readEntries: (done) => done(children.splice(0, 2)), // as browsers do, not all at once
            }) });
            const plain = new File([], "plain");
            const item = (entry) => ({ kind: "file", webkitGetAsEntry: () => entry, getAsFile: () => plain });
            const tree = folder("masks", [file("1.png"), folder("more", [file("2.png")]), file("3.png")]);
            const found = await dropped({ items: [item(tree), item(file("4.png")), item(null), { kind: "string" }] });
            return found.map(({ path, file }) => `${path} ${file.name}`).sort();
        }"""
    )
    assert paths == ["4.png 4.png", "masks/1.png 1.png", "masks/3.png 3.png", "masks/more/2.png 2.png", "plain plain"]


def test_depth_and_wished_rate_change_while_it_runs_and_speed_and_time_left_are_shown(page):
    page.evaluate(
        """() => {
            window.said = [];
            const progress = document.getElementById("progress");
            new MutationObserver(() => window.said.push(progress.textContent)).observe(progress, { childList: true });
        }"""
    )
    seek(page, 0)
    before = page.input_value("#depth")
    page.keyboard.press("t")
    until(page, "!document.getElementById('stop').hidden")
    page.keyboard.press("d")
    until(page, f"document.getElementById('depth').value !== '{before}'")
    assert page.is_visible("#stop")
    page.fill("#fps", "3.5")
    page.keyboard.press("Enter")
    page.locator("#view").focus()
    finished(page)
    said = page.evaluate("window.said")
    assert any(re.fullmatch(r"frame \d+: [\d.]+ frames a second, (\d+ min )?\d+ s left", text) for text in said), said
    page.reload()
    until(page, "document.getElementById('fps').value === '3.5'")
    assert "an object lost" in page.inner_text("#legend")


def test_exports_are_written_to_the_folder(page, command):
    page.check("#exports input[value='davis']")
    page.locator("#view").focus()
    page.keyboard.press("w")
    wait_for(lambda: (command.folder / "out" / "DAVIS").is_dir())
    until(page, "/Written to .*out/.test(document.getElementById('notices').textContent)")


def test_the_page_raised_no_error(page, command):
    assert page.faults == []
    assert command.stop() in (0, 130)
