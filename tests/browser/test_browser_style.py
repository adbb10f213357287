"""Colours of the page, light and dark: their contrast."""

import re
from itertools import combinations

import numpy as np
import pytest

from bench.chromium import ROOT

TEXT, SHAPE, STATUS = 4.5, 3.0, 1.8  # least contrast: the first two as in WCAG 2.2, 1.4.3 and 1.4.11


def palettes():
    """Return the variables of :root that are colours, light and dark."""
    text = (ROOT / "aot_jax" / "browser" / "page" / "style.css").read_text("utf-8")
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for block in blocks)
    return {"light": light, "dark": light | dark}


def luminance(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


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
