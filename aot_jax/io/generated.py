"""Generated videos with exact masks: training data for the quick start, and its held-out set.

Textured objects (`shapes.py`) move, turn, change size and cover each other over a textured background under a slowly
moving camera. An object moves about a fifth of its radius a frame: smooth from frame to frame, yet after 20 frames the
first mask covers little of it.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from aot_jax.io.masks import write_mask
from aot_jax.io.shapes import Look, MovingObject, Texture, place

VERSION = 1  # version of the generator; increase it when its output changes, so that prepared sets are made again


@dataclass(frozen=True)
class Recipe:
    """All parameters of a generated set."""

    seed: int = 0
    videos: int = 60
    frames: int = 20
    height: int = 160  # pixels
    width: int = 208  # pixels
    objects: tuple[int, int] = (1, 6)  # fewest and most objects in a video
    lookalikes: float = 0.25  # share of videos in which two objects look the same


HELD_OUT = Recipe(seed=1_000_003, videos=20, objects=(1, 5))  # set for scoring; its seed differs from those of training


@dataclass(frozen=True)
class VideoPlan:
    """The arguments of `make_video` that differ between the videos of one set."""

    seed: tuple[int, int]
    objects: int
    lookalikes: int


def plan_video(seed: int, index: int, objects: tuple[int, int] = (1, 6), lookalikes: float = 0.25) -> VideoPlan:
    """Draw the number of objects of a video, uniform in `objects`, and whether two of them look the same."""
    random = np.random.default_rng([seed, index, 1])
    count = int(random.integers(objects[0], objects[1] + 1))
    alike = 2 if random.random() < lookalikes else 0
    return VideoPlan((seed, index), max(count, alike) if objects[1] > 1 else count, alike if objects[1] > 1 else 0)


def make_video(
    seed: int | tuple[int, ...], frames: int, height: int, width: int, objects: int, lookalikes: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one video.

    Args:
      seed: int or tuple of ints; determines shapes, textures, colours and paths.
      frames: number of frames t.
      height: pixels, 32 or more.
      width: pixels, 32 or more.
      objects: 1 .. 254, with ids 1 .. objects; later ids lie on top.
      lookalikes: number of objects (0, or 2 .. objects) that share shape, texture and colours.

    Returns:
      images (t, h, w, 3) uint8 RGB and masks (t, h, w) uint8. If there is room, every object is visible in frame 0.

    Raises:
      ValueError: an argument is out of range.

    Example:
        >>> images, masks = make_video(0, frames=2, height=48, width=64, objects=3)
        >>> images.shape, masks.shape, np.unique(masks[0])
        ((2, 48, 64, 3), (2, 48, 64), array([0, 1, 2, 3], dtype=uint8))
    """
    if not 1 <= objects <= 254 or not 0 <= lookalikes <= objects or min(height, width) < 32 or frames < 1:
        raise ValueError(
            f"cannot draw {objects} objects ({lookalikes} alike) on {frames} frames of {width}x{height}; "
            "give 1 .. 254 objects, no more of them alike, and at least 1 frame of at least 32x32 pixels"
        )
    random = np.random.default_rng(np.atleast_1d(np.asarray(seed)).tolist())
    background = Texture(random, 0.35 * min(height, width))
    camera = (random.uniform(-0.012, 0.012, 2) * min(height, width)).astype(np.float32)  # pixels a frame
    zoom = random.uniform(-0.006, 0.006)  # relative change of scale per frame
    things: list[MovingObject] = []
    looks = None
    alike = set(random.permutation(objects)[:lookalikes].tolist())
    for index in range(objects):
        radius = min(height, width) * random.uniform(0.12, 0.2) * (1 if objects <= 6 else (6 / objects) ** 0.5)
        look = Look(random, radius)
        if index in alike:
            looks = looks or look
            look = looks
        things.append(place(random, look, things, height, width))
    grid = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    images = np.empty((frames, height, width, 3), np.uint8)
    masks = np.zeros((frames, height, width), np.uint8)
    for t in range(frames):
        centred = (grid - np.array([[[height / 2]], [[width / 2]]], np.float32)) * np.float32(1 + zoom * t)
        image = background.at(*(centred + np.float32(t) * camera[:, None, None]))
        for index, thing in enumerate(things):
            thing.draw(image, masks[t], index + 1)
            thing.move(height, width)
        images[t] = np.clip(np.rint(image), 0, 255)
    return images, masks


def make_videos(recipe: Recipe) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images (t, h, w, 3) and masks (t, h, w) of each video, as `make_video` does."""
    for index in range(recipe.videos):
        plan = plan_video(recipe.seed, index, recipe.objects, recipe.lookalikes)
        yield make_video(frames=recipe.frames, height=recipe.height, width=recipe.width, **asdict(plan))


def write_davis_tree(recipe: Recipe, folder: Path) -> None:
    """Write a set in the layout of DAVIS, listed in ImageSets/2017/val.txt; do nothing if `folder` exists.

    Raises:
        OSError: a file cannot be written.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for index, (images, masks) in enumerate(make_videos(recipe)):
            frames = temporary / "JPEGImages" / "480p" / f"{index:02d}"
            frames.mkdir(parents=True)
            for t, (image, mask) in enumerate(zip(images, masks, strict=True)):
                Image.fromarray(image).save(frames / f"{t:05d}.jpg", quality=95)
                write_mask(temporary / "Annotations" / "480p" / frames.name / f"{t:05d}.png", mask)
        listing = temporary / "ImageSets" / "2017" / "val.txt"
        listing.parent.mkdir(parents=True)
        listing.write_text("".join(f"{index:02d}\n" for index in range(recipe.videos)), encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError:  # another process was faster
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
