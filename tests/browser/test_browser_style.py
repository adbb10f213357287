"""Colours of the page, light and dark: their contrast."""

import json
import re
from itertools import combinations

import numpy as np
import pytest

from bench.chromium import ROOT

# Colours as seen without one kind of cones, applied to linear RGB (Machado, Oliveira and Fernandes, 2009).
SEEN = {
    "all": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])  # of linear sRGB
DIFFERENT = 15.0  # least distance of two objects' colours in CIELAB
TEXT, SHAPE, STATUS = 4.5, 3.0, 1.8  # least contrast: the first two as in WCAG 2.2, 1.4.3 and 1.4.11


def palettes():
    """Return the variables of :root that are colours, light and dark."""
    text = (ROOT / "aot_jax" / "browser" / "page" / "style.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks)
    return {"light": light, "dark": light | dark}


def linear(colours):
    values = np.asarray(colours) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) @ XYZ[1])


def lab(colours):
    """Convert linear RGB (n, 3) to CIELAB."""
    x, y, z = np.cbrt((colours @ XYZ.T) / XYZ.sum(axis=1)).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_of_objects_differ_whatever_the_colour_vision(eyes):
    script = (ROOT / "aot_jax" / "browser" / "page" / "objects.js").read_text("utf-8")
    colours = np.array(json.loads(re.findall(r"BASE = (\[\[.*\]\]);", script)[0]))
    assert colours.shape == (8, 3)
    found = lab((linear(colours) @ np.array(SEEN[eyes]).T).clip(0, 1))
    assert min(np.linalg.norm(one - other) for one, other in combinations(found, 2)) >= DIFFERENT


@pytest.fixture(params=["light", "dark"])
def contrast(request):
    colours = palettes()[request.param]

    def ratio(one, other):
        low, high = sorted(luminance(colours[name]) + 0.05 for name in (one, other))
        return high / low

    return ratio


def test_contrast_of_black_and_white_is_21():
    assert (luminance("#ffffff") + 0.05) / (luminance("#000000") + 0.05) == pytest.approx(21)


@pytest.mark.parametrize("text", ["ink", "quiet", "bad"])
def test_text_can_be_read(contrast, text):
    assert min(contrast(text, "panel"), contrast(text, "page")) >= TEXT
    assert contrast("on-accent", "accent") >= TEXT


def test_the_focus_and_the_edges_of_fields_can_be_seen(contrast):
    for background in ("panel", "page"):
        assert contrast("accent", background) >= SHAPE
        assert contrast("edge", background) >= SHAPE
    assert contrast("accent", "stage") >= SHAPE


def test_bars_of_one_height_in_the_timeline_differ_without_colour(contrast):
    script = (ROOT / "aot_jax" / "browser" / "page" / "timeline.js").read_text("utf-8")
    (heights,) = re.findall(r"HEIGHTS = \{(.*?)\}", script)
    heights = {name.lower(): float(height) for name, height in re.findall(r"\[(\w+)\]: ([\d.]+)", heights)}
    heights["none"] = heights.pop("nothing")
    assert set(heights) == {"none", "tracked", "lost", "corrected", "given"}
    for one, other in combinations(heights, 2):
        assert heights[one] != heights[other] or contrast(one, other) >= STATUS, (one, other)
    for status in heights.keys() - {"none"}:
        assert contrast(status, "panel") >= STATUS
