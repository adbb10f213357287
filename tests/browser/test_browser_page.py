"""The page in headless Chromium: draw, track, correct, rename, export, and survive a server restart."""

import zipfile

import numpy as np
import window
from window import FRAMES, H, W, drag, finished, mask_of, seek, wait_for

from aot_jax.io.masks import read_mask, write_mask
from bench.chromium import on_frame, until

pytestmark = window.MARKS


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


def test_edits_of_a_frame_are_undone_after_others_were_shown(page, command):
    seek(page, 5)
    page.keyboard.press("r")
    drag(page, (20, 20), (40, 40))
    wait_for(mask_of(command, 5, "given").exists)
    seek(page, 0)
    page.keyboard.press("Control+z")
    wait_for(lambda: 2 not in read_mask(mask_of(command, 0, "given")))
    assert mask_of(command, 5, "given").exists()
    page.keyboard.press("Control+y")
    wait_for(lambda: 2 in read_mask(mask_of(command, 0, "given")))
    seek(page, 5)
    page.keyboard.press("Control+z")
    wait_for(lambda: not mask_of(command, 5, "given").exists())
    seek(page, 0)


def test_what_can_be_undone_is_bounded_and_not_undone_in_a_mask_made_anew(page):
    counts = page.evaluate(
        """async () => {
            const { Mask } = await import(new URL("mask.js", document.baseURI));
            const mask = new Mask(4096, 4096), undone = () => { let n = 0; while (mask.undo()) n++; return n; };
            const draw = (frame, size, times) => {
                mask.show(frame, new Uint8Array(4096 * 4096));
                for (let i = 0; i < times; i++) {
                    mask.begin();
                    mask.box(0, 0, size, size, 1 + (i % 2));
                    mask.commit();
                }
            };
            draw(0, 4096, 6);
            const all = undone();
            draw(0, 4096, 6);
            draw(1, 4096, 5);
            const last = mask.data.slice(), newer = undone();
            mask.show(0, last.fill(2));
            const older = undone();
            draw(2, 2, 150);
            const most = undone();
            draw(3, 2, 1);
            mask.show(3, new Uint8Array(4096 * 4096));
            const anew = undone();
            mask.forget();
            return [all, newer, older, most, anew];
        }"""
    )
    assert counts == [6, 5, 3, 100, 0]  # 256 MiB hold eight edits of 32 MiB


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
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "drop.png"));
            document.getElementById("view").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        list((command.folder / "drop.png").read_bytes()),
    )
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


def test_the_page_raised_no_error(page, command):
    assert page.faults == []
    assert command.stop() in (0, 130)
