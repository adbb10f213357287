"""Fixtures of the tests of files."""

import numpy as np
import pytest
from drawn import SIZE
from PIL import Image


@pytest.fixture
def frames(tmp_path):
    """A folder of four frames."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for t in range(4):
        Image.fromarray(np.full((*SIZE, 3), 40 * t, np.uint8)).save(folder / f"{t:05d}.jpg")
    return folder
