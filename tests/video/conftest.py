"""Fixtures of the tests of track.py."""

import clips
import pytest
import tiny
from painter import COUNT, SIZE, Painter

from aot_jax import network
from aot_jax.io.masks import write_mask
from aot_jax.video import limits
from aot_jax.video import run as command


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Write a video with sound and a display matrix that turns it by 90 degrees."""
    path = clips.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", COUNT, SIZE, sound="aac")
    return clips.turn(path, 90)


@pytest.fixture
def mask(tmp_path):
    """Return the mask of two objects on the upright frame."""
    write_mask(tmp_path / "mask.png", tiny.mask(*SIZE[::-1], (1, 5)))
    return tmp_path / "mask.png"


@pytest.fixture
def painter(monkeypatch):
    """Run the command without a network."""

    class Own(Painter):
        pass

    monkeypatch.setattr(command, "Tracker", Own)
    monkeypatch.setattr(network.FoundNetwork, "load", lambda *_: None)
    monkeypatch.setattr(limits, "warnings", lambda *_: ())
    return Own
