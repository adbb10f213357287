"""Make video clips from still images: a window moves over one image, and objects cut from others move over it.

Each object has its own path: position, scale, angle and shear change smoothly. The depth order is fixed; objects cross,
occlude each other, leave the frame and return. Look-alikes are one object pasted twice, told apart by motion alone.
The ranges are the fields of `config.data.moving`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from ml_collections import ConfigDict

from aot_jax.typing import VOID
from data_pipeline.augment import inverse_affine
from data_pipeline.colour import clip, draw_colour, to_bytes
from data_pipeline.merge import Clip, large_ids, renumber
from data_pipeline.warp import affine, centred, with_margin

Draw = Callable[[], tuple[np.ndarray, np.ndarray]]  # draws another image (h, w, 3) and mask (h, w), both uint8

_CUBIC = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
# Colour transforms of (h, w, 4), RGB times alpha and alpha in 0 .. 255: to RGB, and to 1 - alpha.
_COLOURS = np.eye(3, 4, dtype=np.float32)
_REST = np.array([[0, 0, 0, -1 / 255, 1]] * 3, np.float32)
_INSTANCE_TRIES = 4  # images tried for an object that is large enough


@dataclass(frozen=True)
class Motion:
    """A smooth path of an object or of the window; time t counts frames."""

    place: np.ndarray  # (2,) centre at t = 0, output pixels
    velocity: np.ndarray  # (2,) output pixels a frame
    acceleration: np.ndarray  # (2,) output pixels a frame squared
    zoom: float  # output pixels per source pixel, at t = 0
    growth: float  # change of log(zoom) a frame
    angle: float  # radians at t = 0
    spin: float  # radians a frame
    shear: tuple[float, float, float]  # amplitude, radians a frame, phase
    mirrored: bool = False

    def at(self, t: float) -> np.ndarray:
        """Return the centre (2,) at time t."""
        return self.place + self.velocity * t + self.acceleration * t * t / 2

    def inverse(self, t: float) -> np.ndarray:
        """Return the matrix (2, 2) at time t that maps offsets in the output to offsets in the source."""
        amount, rate, phase = self.shear
        zoom = self.zoom * math.exp(self.growth * t)
        return inverse_affine(self.angle + self.spin * t, amount * math.sin(rate * t + phase), zoom, self.mirrored)


@dataclass(frozen=True)
class Instance:
    """An object cut out of an image."""

    colours: np.ndarray  # (h, w, 4) float32: RGB times alpha, and alpha in 0 .. 255; its border is empty
    size: float  # square root of its area, in pixels


def moving(image: np.ndarray, mask: np.ndarray, draw: Draw, random: np.random.Generator, data: ConfigDict) -> Clip:
    """Make a clip of one image as the background and objects cut from others.

    Args:
      image: (h, w, 3) uint8, the background; its own objects move with it.
      mask: (h, w) uint8 ids of the background.
      draw: returns an image and mask that an object is cut from.
      random: the sample's random generator.
      data: the fields of `config.data`; `data.moving` holds the ranges.
    """
    ranges = data.moving
    masks, background_objects = renumber(mask[None], large_ids(mask, 0), VOID - 1 - 2 * ranges.objects[1], random)
    window = _window_motion(random, mask.shape, data)
    pasted: list[tuple[Instance, Motion]] = []
    for _ in range(random.integers(ranges.objects[0], ranges.objects[1] + 1)):
        if (instance := _cut(draw, random, ranges)) is None:
            continue
        pasted.append((instance, _object_motion(random, instance, window.zoom, pasted, data)))
        if random.random() < ranges.lookalikes:
            twin = _recoloured(instance, random, ranges.lookalike_colour)
            # Nearly the same size, and a path that meets the first: otherwise size or place would tell them apart.
            motion = _object_motion(random, twin, window.zoom, pasted, data, near=pasted[-1][1])
            pasted.append((twin, motion))
    order = random.permutation(len(pasted))  # back to front
    shutter = random.uniform(*ranges.shutter) if random.random() < ranges.blur else 0.0
    colour = draw_colour(random, data, static=False)
    images = np.empty((data.frames, data.crop, data.crop, 3), np.uint8)
    labels, view = np.empty(images.shape[:3], np.uint8), np.empty(images.shape[1:], np.float32)
    source = with_margin(image)
    for t in range(data.frames):
        matrix = window.inverse(t)
        shift = np.array(mask.shape) / 2 - matrix @ window.at(t)
        labels[t] = affine(source, masks[0], matrix, shift, data.fill, view)
        _blur(view, window, t, shutter)
        for k in order:
            instance, motion = pasted[k]
            _paste(view, labels[t], instance, motion, t, shutter, background_objects + 1 + int(k))
        to_bytes(colour(view) if colour else clip(view), images[t])
    keep = large_ids(labels[0], data.min_object_pixels)
    return Clip(images, *renumber(labels, keep, data.max_objects, random, shuffle=True))


def _cut(draw: Draw, random: np.random.Generator, ranges: ConfigDict) -> Instance | None:
    """Cut a random object out of a drawn image; None if no image drawn has one that is large enough."""
    for _ in range(_INSTANCE_TRIES):
        image, mask = draw()
        if len(ids := large_ids(mask, ranges.min_pixels)):
            break
    else:
        return None
    chosen = (mask == ids[random.integers(len(ids))]).view(np.uint8)
    left, top, width, height = cv2.boundingRect(chosen)
    box = slice(top, top + height), slice(left, left + width)
    # Soften the edge inwards by one pixel: outwards it would show the object's old surroundings.
    alpha = cv2.copyMakeBorder(255 * chosen[box], 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=0)
    alpha = np.minimum(alpha, cv2.GaussianBlur(alpha, (3, 3), 0)).astype(np.float32)
    colours = cv2.copyMakeBorder(image[box], 3, 3, 3, 3, cv2.BORDER_REPLICATE)
    size = math.sqrt(int(chosen.sum()))
    return Instance(np.concatenate([colours * (alpha[..., None] / 255), alpha[..., None]], axis=2), size)


def _recoloured(instance: Instance, random: np.random.Generator, amount: float) -> Instance:
    factors = np.append(random.uniform(1 - amount, 1 + amount, 3) * random.uniform(1 - amount, 1 + amount), 1)
    return Instance(instance.colours * factors.astype(np.float32), instance.size)


def _window_motion(random: np.random.Generator, shape: tuple[int, ...], data: ConfigDict) -> Motion:
    """Draw the window's motion over the background, as the path of the image's centre in output pixels."""
    ranges, size, last = data.moving, np.array(shape, float), data.frames - 1
    zoom = data.crop / (random.uniform(*ranges.window) * size.min())
    velocity = _heading(random) * random.uniform(0, ranges.pan) * data.crop
    acceleration = _heading(random) * random.uniform(0, ranges.bend) * np.hypot(*velocity)
    motion = Motion(
        np.zeros(2),
        velocity,
        acceleration,
        zoom,
        random.uniform(-1, 1) * ranges.camera_growth,
        math.radians(random.uniform(-1, 1) * ranges.camera_turn),
        math.radians(random.uniform(-1, 1) * ranges.camera_spin),
        (0.0, 0.0, 0.0),
        bool(random.random() < data.flip),
    )
    # Bound the window's centre, relative to the image's, so that the window's corners stay inside the image.
    half = data.crop / 2 * np.array([[1, 1], [1, -1]])
    low, high = np.full(2, -np.inf), np.full(2, np.inf)
    for t in (0, last / 2, last):
        inverse = motion.inverse(t)
        room = size / 2 - np.abs(half @ inverse.T).max(axis=0)
        away = inverse @ motion.at(t)  # shift by the motion, in source pixels
        low, high = np.maximum(low, away - room), np.minimum(high, away + room)
    middle, room = (low + high) / 2, np.maximum(high - low, 0) / 2
    start = middle + room * random.uniform(-1, 1, 2)
    return replace(motion, place=data.crop / 2 - np.linalg.solve(motion.inverse(0), start))


def _object_motion(
    random: np.random.Generator,
    instance: Instance,
    background: float,
    others: list[tuple[Instance, Motion]],
    data: ConfigDict,
    near: Motion | None = None,
) -> Motion:
    """Draw an object's motion; `near`: a motion whose zoom it nearly shares and whose path it meets."""
    ranges, last = data.moving, data.frames - 1
    share = math.exp(random.uniform(*np.log(ranges.size)))
    zoom = min(share * data.crop / instance.size, ranges.enlarge * background)
    if near is not None:
        zoom = near.zoom * (1 + random.uniform(-1, 1) * ranges.lookalike_size)
    place = random.uniform(-ranges.outside, 1 + ranges.outside, 2) * data.crop
    speed = random.uniform(*ranges.speed) * data.crop
    heading = _heading(random)
    if others and (near is not None or random.random() < ranges.meet):
        # Head for where the other one will be in the middle of the clip.
        other = near or others[random.integers(len(others))][1]
        way = other.at(last / 2) - place
        heading, speed = way / max(np.hypot(*way), 1e-6), min(max(2 * np.hypot(*way) / last, speed / 2), 1.5 * speed)
    return Motion(
        place,
        heading * speed,
        _heading(random) * random.uniform(0, ranges.bend) * speed,
        zoom,
        random.uniform(-1, 1) * ranges.growth,
        math.radians(random.uniform(-1, 1) * ranges.turn),
        math.radians(random.uniform(-1, 1) * ranges.spin),
        (random.uniform(0, ranges.shear), random.uniform(*ranges.swing), random.uniform(0, 2 * math.pi)),
        bool(random.random() < data.flip),
    )


def _heading(random: np.random.Generator) -> np.ndarray:
    angle = random.uniform(0, 2 * math.pi)
    return np.array([math.sin(angle), math.cos(angle)])


def _paste(
    view: np.ndarray, labels: np.ndarray, instance: Instance, motion: Motion, t: int, shutter: float, number: int
) -> None:
    """Paint an object at time t over view (s, s, 3) float32 and labels (s, s) uint8, in place."""
    size, matrix = np.array(instance.colours.shape[:2]) / 2, motion.inverse(t)
    reach = np.abs(np.linalg.inv(matrix)) @ size + shutter * np.abs(motion.at(t + 1) - motion.at(t)) + 1
    low = np.maximum(np.floor(motion.at(t) - reach), 0).astype(int)
    high = np.minimum(np.ceil(motion.at(t) + reach), labels.shape).astype(int)
    if (high - low < 2).any():
        return
    shift = size + matrix @ (low - motion.at(t))
    cut = cv2.warpAffine(
        instance.colours, centred(matrix, shift), (int(high[1] - low[1]), int(high[0] - low[0])), flags=_CUBIC
    )
    _blur(cut, motion, t, shutter)
    clip(cut)
    box = slice(low[0], high[0]), slice(low[1], high[1])
    here = view[box]
    here *= cv2.transform(cut, _REST)
    here += cv2.transform(cut, _COLOURS)
    labels[box][cut[..., 3] > 127.5] = number


def _blur(image: np.ndarray, motion: Motion, t: int, shutter: float) -> None:
    """Apply motion blur in place; `shutter`: the share of a frame's time that it is open."""
    way = (motion.at(t + 0.5) - motion.at(t - 0.5)) * shutter
    if np.hypot(*way) < 2:
        return
    reach = math.ceil(max(np.abs(way)) / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 4 * reach + 1):
        kernel[tuple(np.rint(reach + share * way).astype(int))] += 1
    cv2.filter2D(image, -1, kernel / kernel.sum(), dst=image, borderType=cv2.BORDER_REPLICATE)
