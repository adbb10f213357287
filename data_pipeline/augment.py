"""Augment clips for both stages (design, section 7), in TensorFlow with stateless randomness; for `pipeline.py`.

Every function takes decoded frames and a seed, and returns images (t, s, s, 3) uint8, masks (t, s, s) uint8 with ids
1 .. n and 255 void, and n. Arithmetic is in float32; colours are rounded once, at the end.
"""

import math

import tensorflow as tf
from ml_collections import ConfigDict

from data_pipeline import warp
from data_pipeline.identities import are_objects, count_ids, renumber
from data_pipeline.sampling import Seed, fold, uniform

Clip = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def video(images: tf.Tensor, masks: tf.Tensor, seed: Seed, data: ConfigDict) -> Clip:
    """Scale, crop or pad, and flip a clip; the same way in every frame.

    Args:
      images: (t, h, w, 3) uint8.
      masks: (t, h, w) uint8.
      seed: (2,) int64.
      data: the fields of `config.data`.
    """
    size = tf.cast(tf.shape(masks)[1:], tf.float32)
    zoom = uniform(fold(seed, 0), [], *data.scale) * data.short_edge / tf.reduce_min(size)
    scaled = tf.maximum(tf.round(size * zoom), 1.0)
    scale, spare = scaled / size, scaled - data.crop

    def window(attempt: tf.Tensor) -> tf.Tensor:
        # Spare room is where the window may move; missing room is where the clip may lie inside the window.
        share = uniform(fold(fold(seed, 1), attempt), [2])
        room = tf.floor(share * (tf.abs(spare) + 1))
        return tf.sign(spare) * tf.minimum(room, tf.abs(spare))

    def empty(attempt: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
        reference = warp.resample_masks(masks[:1], data.crop, scale, offset)
        return ~tf.reduce_any(are_objects(count_ids(reference), data.min_object_pixels))

    _, offset = tf.while_loop(
        lambda attempt, offset: (attempt < data.crop_tries) & empty(attempt, offset),
        lambda attempt, offset: (attempt + 1, window(attempt)),
        (tf.constant(1), window(0)),
    )
    cut = warp.resample_masks(masks, data.crop, scale, offset)
    keep = are_objects(count_ids(cut[0]), data.min_object_pixels)
    cut, objects = renumber(cut, keep, data.max_objects, fold(seed, 2))
    on = warp.inside(masks, data.crop, scale, offset)[None, :, :, None]
    colours = tf.where(on, warp.resample(images, data.crop, scale, offset), tf.constant(data.fill, tf.float32))
    images = to_bytes(colours)
    flip = uniform(fold(seed, 3)) < data.flip
    return (*tf.cond(flip, lambda: (images[:, :, ::-1], cut[:, :, ::-1]), lambda: (images, cut)), objects)


def static(image: tf.Tensor, mask: tf.Tensor, seed: Seed, data: ConfigDict) -> Clip:
    """Make a clip of one image: every frame is another view of it, the first without affine.

    Args:
      image: (h, w, 3) uint8.
      mask: (h, w) uint8.
      seed: (2,) int64.
      data: the fields of `config.data`; `data.static` holds the ranges.
    """
    flip = uniform(fold(seed, 0)) < data.flip
    image, mask = tf.cond(flip, lambda: (image[:, ::-1], mask[:, ::-1]), lambda: (image, mask))
    size = tf.cast(tf.shape(mask), tf.float32)
    fill, taps = tf.constant(data.fill, tf.float32), warp.cubic_taps(image)

    def finish(view: tf.Tensor, frame: Seed) -> tf.Tensor:
        return to_bytes(jitter(view, fold(frame, 2), data.static))

    def reference(frame: Seed) -> tuple[tf.Tensor, tf.Tensor]:
        corner, extent = resized_crop(fold(frame, 0), size, data.static)
        scale = data.crop / extent
        view = warp.resample(image[None], data.crop, scale, corner * scale)[0]
        return finish(view, frame), warp.resample_masks(mask[None], data.crop, scale, corner * scale)[0]

    def later(frame: Seed) -> tuple[tf.Tensor, tf.Tensor]:
        corner, extent = resized_crop(fold(frame, 0), size, data.static)
        # One interpolation for flip, affine and crop together: the colours are resampled once.
        matrix, shift = affine_source(fold(frame, 1), size, data.static)
        shift = shift + tf.linalg.matvec(matrix, corner)
        matrix = matrix * (extent / data.crop)[None, :]
        view, label = warp.affine(taps, mask, data.crop, matrix, shift, fill)
        return finish(view, frame), label

    frames = tf.stack([fold(seed, 100 + t) for t in range(data.frames)])
    first = reference(frames[0])
    # A loop, not an unrolled graph: tracing the graph takes seconds otherwise.
    rest = tf.map_fn(later, frames[1:], fn_output_signature=(tf.uint8, tf.uint8), parallel_iterations=1)
    images, masks = (tf.concat([one[None], many], axis=0) for one, many in zip(first, rest, strict=True))
    keep = are_objects(count_ids(masks[0]), 0)
    masks, objects = renumber(masks, keep, data.max_objects, fold(seed, 1), shuffle=True)
    return images, masks, objects


def resized_crop(seed: Seed, size: tf.Tensor, ranges: ConfigDict) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw a window: the first of ten draws of area and ratio that fits, else the largest in the middle.

    Args:
      seed: (2,) int64.
      size: (2,) float32, height and width of the image.
      ranges: area (shares of the image's) and ratio (width / height, of a square output).

    Returns:
      corner (2,) and extent (2,) in pixels, y before x.
    """
    area = uniform(fold(seed, 0), [10], *ranges.area) * size[0] * size[1]
    low, high = math.log(ranges.ratio[0]), math.log(ranges.ratio[1])
    root = tf.exp(0.5 * uniform(fold(seed, 1), [10], low, high))
    extents = tf.sqrt(area)[:, None] * tf.stack([1 / root, root], axis=1)
    fits = tf.reduce_all(extents <= size, axis=1)
    place = uniform(fold(seed, 2), [2])
    first = tf.argmax(fits)  # of booleans: the first true
    ratio = tf.clip_by_value(size[1] / size[0], *ranges.ratio)
    largest = tf.stack([tf.minimum(size[0], size[1] / ratio), tf.minimum(size[1], size[0] * ratio)])
    extent = tf.where(tf.reduce_any(fits), extents[first], largest)
    place = tf.where(tf.reduce_any(fits), place, [0.5, 0.5])
    return place * (size - extent), extent


def affine_source(seed: Seed, size: tf.Tensor, ranges: ConfigDict) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw an affine about the image's centre, after a flip; returns it as source = matrix @ output + shift, in (y, x).

    Forward it scales, shears in x, turns, and shifts.
    """
    turn, slant, grow, down, right, side = tf.unstack(uniform(seed, [6]))  # one draw: a smaller graph than six
    angle = (2 * turn - 1) * ranges.degrees * math.pi / 180
    shear = (2 * slant - 1) * ranges.shear * math.pi / 180
    zoom = ranges.zoom[0] + grow * (ranges.zoom[1] - ranges.zoom[0])
    move = (2 * tf.stack([down, right]) - 1) * ranges.shift * size
    mirrored = tf.where(side < ranges.flip, -1.0, 1.0)
    c, s, k = tf.cos(angle), tf.sin(angle), tf.tan(shear)
    # Inverse of zoom * turn @ shear, rows and columns in (y, x), then the mirror on x.
    matrix = tf.stack([tf.stack([c, -s]), tf.stack([s - k * c, c + k * s])]) / zoom
    matrix = matrix * tf.stack([tf.ones([]), mirrored])[:, None]
    return matrix, size / 2 - tf.linalg.matvec(matrix, size / 2 + move)


def jitter(image: tf.Tensor, seed: Seed, ranges: ConfigDict) -> tf.Tensor:
    """Change brightness, contrast, saturation and hue of (h, w, 3) float32 in 0 .. 255, in this order."""
    share = 2 * uniform(seed, [4]) - 1
    amounts = tf.constant([ranges.brightness, ranges.contrast, ranges.saturation])
    bright, contrast, saturation = tf.unstack(1 + share[:3] * amounts)
    image = tf.clip_by_value(image, 0, 255) * bright
    image = tf.clip_by_value(image, 0, 255)
    # A sum of whole numbers: one of floats would depend on how threads share it, and the sample with it.
    mean = tf.reduce_sum(tf.cast(tf.round(_grey(image)), tf.int32)) / tf.size(image[..., 0])
    mean = tf.cast(mean, tf.float32)
    image = tf.clip_by_value(mean + (image - mean) * contrast, 0, 255)
    grey = _grey(image)
    image = tf.clip_by_value(grey + (image - grey) * saturation, 0, 255)
    return tf.image.adjust_hue(image / 255, share[3] * ranges.hue) * 255


def to_bytes(colours: tf.Tensor) -> tf.Tensor:
    """Round float32 colours to uint8; the cubic may overshoot 0 .. 255."""
    return tf.cast(tf.clip_by_value(tf.round(colours), 0, 255), tf.uint8)


def _grey(image: tf.Tensor) -> tf.Tensor:
    return tf.tensordot(image, tf.constant([0.299, 0.587, 0.114]), 1)[..., None]
