"""How the page looks in headless Chromium, and how keys reach it."""

import os

import numpy as np
import pytest
import window
from PIL import Image
from window import NETWORK, seek

from bench.chromium import ROOT, Command, until

pytestmark = window.MARKS


def test_every_control_has_a_name_and_keys_reach_it(page):
    page.keyboard.press("n")
    until(page, "document.querySelectorAll('#objects li').length === 1")
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


def test_keys_act_while_a_button_has_the_focus_and_reach_fields(page):
    seek(page, 3)
    page.locator("#add").focus()
    page.keyboard.press("ArrowRight")
    until(page, "document.getElementById('timeline').getAttribute('aria-valuenow') === '4'")
    page.keyboard.press("Alt+ArrowRight")  # the browser's own key for the next page
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == "frame"
    assert page.input_value("#frame") == "4"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "view"
    followed = page.is_checked("#follow")
    page.keyboard.press("s")
    assert page.is_checked("#follow") != followed
    page.keyboard.press("s")
    page.keyboard.press("i")
    assert page.evaluate("document.activeElement.className") == "name"
    page.keyboard.press("Escape")
    page.once("dialog", lambda dialog: dialog.accept())
    page.keyboard.press("Shift+Delete")
    until(page, "document.querySelectorAll('#objects li').length === 0")
    depth = page.input_value("#depth")
    page.fill("#fps", "5")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    until(page, f"document.getElementById('depth').value !== '{depth}'")
    assert page.input_value("#fps") == ""


def test_ids_can_be_read_on_the_colours_of_their_objects(page):
    least = page.evaluate(
        """async () => {
            const { colour, ink } = await import(new URL("objects.js", document.baseURI));
            const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
            const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
            const contrast = (place) => {
                const own = light(colour(place));
                return ink(colour(place)) === "#fff" ? 1.05 / (own + 0.05) : (own + 0.05) / 0.05;
            };
            return Math.min(...[...Array(24).keys()].map((i) => contrast(i + 1)));
        }"""
    )
    assert least >= 4.5


def test_the_list_of_objects_keeps_focus_and_half_typed_names(page):
    found = page.evaluate(
        """async () => {
            const { Objects } = await import(new URL("objects.js", document.baseURI));
            const list = document.body.appendChild(document.createElement("ul"));
            const objects = new Objects(list, { rename() {} });
            objects.set([{ id: 5, name: "" }, { id: 7, name: "" }]);
            const remove = list.children[1].lastChild;
            remove.focus();
            objects.set([{ id: 5, name: "" }, { id: 7, name: "" }]);
            const same = document.activeElement === remove;
            objects.choose(2);
            const focused = [document.activeElement.getAttribute("aria-label")];
            const name = list.children[1].children[1];
            name.focus();
            name.value = "half ty";
            objects.set([{ id: 7, name: "" }]);
            focused.push(document.activeElement.getAttribute("aria-label"), document.activeElement.value);
            document.activeElement.value = " whole ";
            document.activeElement.onchange();
            focused.push(document.activeElement.value);
            objects.set([{ id: 7, name: "another window's" }]);
            focused.push(document.activeElement.value);
            objects.set([]);
            list.remove();
            return [same, ...focused];
        }"""
    )
    assert found == [True, "Remove object 7", "Name of object 7", "half ty", "whole", "another window's"]


def test_what_is_hidden_is_not_shown(page):
    shown = page.evaluate(
        """[...document.querySelectorAll("#speed, #stop, #drop, #held")].map((e) => {
            const before = e.hidden;
            e.hidden = true;
            const shown = e.checkVisibility();
            e.hidden = before;
            return shown;
        })"""
    )
    assert shown == [False] * 4


@pytest.mark.parametrize("size", [(800, 600), (1024, 700), (1280, 800), (2560, 1440)])
def test_nothing_is_cut_off(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    long = "/a_folder_with_a_long_name" * 6
    page.evaluate(f"for (const id of ['network', 'folder']) document.getElementById(id).textContent = {long!r}")
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.evaluate(
        """[...document.querySelectorAll('header, nav, aside, footer')].filter((e) => e.scrollWidth > e.clientWidth + 1)
        .map((e) => e.tagName)"""
    )
    assert wide == []
    empty = """[...document.querySelectorAll("nav button")].filter((e) => parseFloat(getComputedStyle(e).fontSize) < 10
        && !e.querySelector("svg")).map((e) => e.id)"""
    assert page.evaluate(empty) == []


def test_the_picture_of_the_page_shows_the_example_with_its_mask(browser, tmp_path):
    """Also write docs/browser.png if AOT_JAX_PICTURES is set."""
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
    page.evaluate("document.getElementById('folder').textContent = 'Results: results/track/clip'")
    picture = ROOT / "docs" / "browser.png" if os.environ.get("AOT_JAX_PICTURES") else tmp_path / "page.png"
    page.screenshot(path=picture)
    page.close()
    assert command.stop() in (0, 130)
    shown = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    blue = shown[..., 2] - shown[..., 0] > 40  # the tint of the first object, rare in the clip itself
    assert blue[:, 150:1000].sum() > 5000
