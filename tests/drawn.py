"""Masks as tools draw them, for tests of reading them."""

import numpy as np
from PIL import Image

from aot_jax import read_masks

SIZE = (48, 64)
RED, BLUE, WHITE = (250, 50, 50), (50, 50, 250), (255, 255, 255)


def scene(disc=True, square=True, size=SIZE):
    """Return a mask of a disc, 1, and a square, 2."""
    ys, xs = np.mgrid[: size[0], : size[1]]
    ids = np.zeros(size, np.uint8)
    if disc:
        ids[(ys - 16) ** 2 + (xs - 18) ** 2 < 100] = 1
    if square:
        ids[26:40, 40:56] = 2
    return ids


def save(folder, stem, pixels, palette=None, **options):
    """Write an image as folder/stem.png, with a palette if one is given; return its path."""
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(np.asarray(pixels))
    if palette is not None:
        image.putpalette(np.asarray(palette, np.uint8).ravel().tolist())
    path = folder / f"{stem}.png"
    image.save(path, **options)
    return path


def paint(ids, *colours):
    """Colour ids (h, w): (h, w, 3) uint8."""
    return np.array(colours, np.uint8)[ids]


def same(found, ids):
    """Assert that two masks are equal."""
    np.testing.assert_array_equal(found, ids)


def boxes(*ids):
    """Return a mask with boxes of these ids, one below the other."""
    labels = np.zeros(SIZE, np.int32)
    for number, i in enumerate(ids):
        labels[2 + 15 * number : 12 + 15 * number, 5:25] = i
    return labels


def one(path, frames=None):
    """Read a file that holds one mask: the mask, and its set."""
    masks = read_masks(path, frames)
    assert len(masks) == 1
    return next(iter(masks.values())), masks
