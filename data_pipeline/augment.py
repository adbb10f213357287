"""Augment clips for both training stages.

Colours stay float32 and are rounded once, at the end.
"""

import math

import cv2
import numpy as np
from ml_collections import ConfigDict

from data_pipeline import warp
from data_pipeline.colour import clip, draw_colour, to_bytes
from data_pipeline.merge import Clip, large_ids, renumber


def video(images: list[np.ndarray], masks: list[np.ndarray], random: np.random.Generator, data: ConfigDict) -> Clip:
    """Scale, crop or pad, flip and recolour a clip, the same way in every frame.

    Args:
      images: t arrays (h, w, 3) uint8.
      masks: t arrays (h, w) uint8.
      random: the sample's random generator.
      data: the fields of `config.data`.
    """
    height, width = masks[0].shape
    zoom = random.uniform(*data.scale) * data.short_edge / min(height, width)
    size = max(round(height * zoom), 1), max(round(width * zoom), 1)
    spare = np.array(size) - data.crop
    for _ in range(max(1, data.crop_tries)):
        # A larger image: where the window lies in it. A smaller one: where the image lies in the window.
        offset = np.sign(spare) * np.floor(random.random(2) * (np.abs(spare) + 1)).astype(int)
        reference = warp.resize_mask_window(masks[0], size, offset, data.crop)
        if len(keep := large_ids(reference, data.min_object_pixels)):
            break
    cut = np.stack([reference] + [warp.resize_mask_window(mask, size, offset, data.crop) for mask in masks[1:]])
    cut, objects = renumber(cut, keep, data.max_objects, random)
    flip, colour = random.random() < data.flip, draw_colour(random, data, static=False)
    frames = np.empty((*cut.shape, 3), np.uint8)
    for image, frame in zip(images, frames, strict=True):
        view = warp.resize_window(image.astype(np.float32) if colour else image, size, offset, data.crop, data.fill)
        if colour:
            to_bytes(colour(view), frame)
        else:
            frame[:] = view
        if flip:
            cv2.flip(frame, 1, dst=frame)
    return Clip(frames, np.ascontiguousarray(cut[:, :, ::-1]) if flip else cut, objects)


def static(image: np.ndarray, mask: np.ndarray, random: np.random.Generator, data: ConfigDict) -> Clip:
    """Make a clip of one image: each frame is a different view of it, the first without an affine transform.

    Args:
      image: (h, w, 3) uint8.
      mask: (h, w) uint8.
      random: the sample's random generator.
      data: the fields of `config.data`; `data.static` holds the ranges.
    """
    if random.random() < data.flip:
        image, mask = cv2.flip(image, 1), cv2.flip(mask, 1)
    size, image = np.array(mask.shape, float), warp.with_margin(image)
    images = np.empty((data.frames, data.crop, data.crop, 3), np.uint8)
    masks, view = np.empty(images.shape[:3], np.uint8), np.empty(images.shape[1:], np.float32)
    for t in range(data.frames):
        corner, extent = resized_crop(random, size, data.static)
        if t:  # affine transform and crop in one step, so that colours are interpolated once
            matrix, shift = affine_source(random, size, data.static)
            masks[t] = warp.affine(image, mask, matrix * (extent / data.crop), shift + matrix @ corner, data.fill, view)
        else:
            masks[t] = warp.crop(image, mask, corner, corner + extent, view)
        colour = draw_colour(random, data, static=True)
        to_bytes(colour(view) if colour else clip(view), images[t])
    return Clip(images, *renumber(masks, large_ids(masks[0], 0), data.max_objects, random, shuffle=True))


def resized_crop(random: np.random.Generator, size: np.ndarray, ranges: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Draw a crop window: the first of ten random areas and ratios that fits, else the largest central one.

    Args:
      random: the sample's random generator.
      size: (2,) height and width of the image.
      ranges: `area`, as a share of the image's, and `ratio`, width / height.

    Returns:
      corner (2,) and extent (2,) in pixels, y before x.
    """
    area = random.uniform(ranges.area[0], ranges.area[1], 10) * size.prod()
    low, high = np.log(ranges.ratio)
    root = np.exp(0.5 * random.uniform(low, high, 10))
    extents = np.sqrt(area)[:, None] * np.stack([1 / root, root], axis=1)
    fits, place = (extents <= size).all(axis=1), random.random(2)
    if fits.any():
        extent = extents[fits.argmax()]
    else:
        ratio, place = np.clip(size[1] / size[0], *ranges.ratio), np.array([0.5, 0.5])
        extent = np.minimum(size, [size[1] / ratio, size[0] * ratio])
    return place * (size - extent), extent


def affine_source(random: np.random.Generator, size: np.ndarray, ranges: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Draw an affine transform about the image's centre: mirror, scale, shear in x, rotate, shift.

    Returns:
      matrix (2, 2) and shift (2,) of its inverse, source = matrix @ output + shift, in (y, x).
    """
    angle = math.radians(random.uniform(-ranges.degrees, ranges.degrees))
    slant = math.tan(math.radians(random.uniform(-ranges.shear, ranges.shear)))
    zoom, move = random.uniform(*ranges.zoom), random.uniform(-ranges.shift, ranges.shift, 2) * size
    matrix = inverse_affine(angle, slant, zoom, random.random() < ranges.flip)
    return matrix, size / 2 - matrix @ (size / 2 + move)


def inverse_affine(angle: float, slant: float, zoom: float, mirrored: bool) -> np.ndarray:
    """Return the inverse (2, 2) of zoom * rotation @ shear @ mirror in x; rows and columns in (y, x)."""
    c, s = math.cos(angle), math.sin(angle)
    matrix = np.array([[c, -s], [s - slant * c, c + slant * s]]) / zoom
    return matrix * np.array([[1.0], [-1.0 if mirrored else 1.0]])
