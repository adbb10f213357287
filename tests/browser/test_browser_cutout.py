"""A box or a few strokes become a mask along the edges of the image."""

import gzip

import numpy as np
import pytest
from small_page import ORIGIN, at

pytest.importorskip("starlette")
from aot_jax.browser.cutout import LONG_EDGE, cut_out
from aot_jax.browser.session import SessionError

NONE = np.zeros((120, 160), bool)


def scene(height=120, width=160):
    """Return a noisy picture (h, w, 3) of a reddish ellipse on green, and the ellipse (h, w)."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:height, :width]
    ellipse = ((ys / height - 0.5) / 0.3) ** 2 + ((xs / width - 0.45) / 0.2) ** 2 < 1
    pixels = np.where(ellipse[..., None], (190, 70, 60), (70, 140, 80)) + rng.normal(0, 12, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8), ellipse


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def strokes(ellipse):
    """Return two short strokes on the middle of an ellipse."""
    height, width = ellipse.shape
    drawn = np.zeros_like(ellipse)
    drawn[height // 2 - 2 : height // 2 + 2, int(0.35 * width) : int(0.55 * width)] = True
    drawn[int(0.3 * height) : int(0.7 * height), int(0.44 * width) : int(0.46 * width)] = True
    return drawn & ellipse


@pytest.mark.parametrize("size", [(120, 160), (2 * LONG_EDGE, 3 * LONG_EDGE)], ids=["small", "scaled"])
@pytest.mark.parametrize("by", ["box", "strokes"])
def test_an_object_is_found_from_a_rough_hint(size, by):
    pixels, ellipse = scene(*size)
    height, width = size
    box = (int(0.2 * width), int(0.15 * height), int(0.7 * width), int(0.85 * height)) if by == "box" else None
    found = cut_out(pixels, strokes(ellipse) & (by == "strokes"), np.zeros(size, bool), box)
    assert found.dtype == bool
    assert overlap(found, ellipse) > 0.9
    if by == "box":
        rough = np.zeros(size, bool)
        rough[box[1] : box[3], box[0] : box[2]] = True
        assert not (found & ~rough).any()


def test_pixels_of_other_objects_and_strokes_stay():
    pixels, ellipse = scene()
    others = ellipse.copy()
    others[:60] = False
    found = cut_out(pixels, strokes(ellipse) & ~others, others)
    assert not (found & others).any()
    assert found[strokes(ellipse) & ~others].all()
    assert overlap(found, ellipse & ~others) > 0.85


@pytest.mark.parametrize(("box", "message"), [(None, "strokes"), ((200, 10, 260, 50), "box"), ((5, 5, 6, 6), "box")])
def test_without_a_hint_in_the_frame_there_is_a_remedy(box, message):
    with pytest.raises(SessionError, match=message):
        cut_out(scene()[0], NONE, NONE, box)


def test_a_box_without_an_object_is_no_empty_mask():
    noise = np.random.default_rng(0).integers(0, 9, (120, 160, 3), np.uint8)
    with pytest.raises(SessionError, match="draw strokes on the object"):
        cut_out(noise, NONE, np.ones_like(NONE), (40, 40, 60, 60))


def test_a_box_around_everything_is_still_a_mask():
    assert cut_out(scene()[0], NONE, NONE, (0, 0, 160, 120)).shape == NONE.shape


def test_the_page_sends_a_hint_and_gets_the_pixels_of_the_object(client, session, monkeypatch):
    height, width = session.source.size
    pixels, ellipse = scene(height, width)
    monkeypatch.setattr(session.frames, "pixels", lambda index: pixels)
    session.add_ids([4, 7])
    drawn = gzip.compress((2 * strokes(ellipse)).astype(np.uint8).tobytes())
    answers = [
        client.post(at(session, f"cut/1?object=2{box}"), content=drawn, headers=ORIGIN)
        for box in ("", f"&box=0,1,{width - 2},{height - 1}")
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert overlap(np.frombuffer(answer.content, np.uint8).reshape(height, width) == 1, ellipse) > 0.75
    assert not session.status[1]  # the page draws it, so that it can be undone
