"""Resample images and masks together, as TensorFlow ops; `augment.py` chooses the parameters.

Conventions, the same for images and masks so that they stay aligned: pixel i covers [i, i + 1), its centre is i + 0.5.
Images use Keys' cubic (a = -0.5) without antialiasing, masks the nearest pixel. Results stay float32 and unrounded.
"""

import tensorflow as tf

TAPS = 4  # of the cubic, a side


def resample(images: tf.Tensor, size: int, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Scale images and cut a window.

    Args:
      images: (t, h, w, c) uint8 or float32.
      size: side of the window in output pixels.
      scale: (2,) float32, output pixels for each input pixel, down and across.
      offset: (2,) float32, the window's corner in the scaled image, in output pixels; may be negative.

    Returns:
      (t, size, size, c) float32; zero outside the image, which `inside` tells apart.
    """
    return tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=[size, size],
        scale=scale,
        translation=-offset,
        kernel_type="keyscubic",
        antialias=False,
    )


def resample_masks(masks: tf.Tensor, size: int, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Scale masks (t, h, w) uint8 and cut a window like `resample`; (t, size, size), 0 outside the image."""
    rows, columns = _sources(masks, size, scale, offset)
    limit = tf.shape(masks)[1:]
    picked = tf.gather(masks, tf.clip_by_value(rows, 0, limit[0] - 1), axis=1)
    picked = tf.gather(picked, tf.clip_by_value(columns, 0, limit[1] - 1), axis=2)
    return tf.where(inside(masks, size, scale, offset), picked, tf.zeros([], masks.dtype))


def inside(images: tf.Tensor, size: int, scale: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Tell which of the (size, size) output pixels have their centre on the image (t, h, w, ...)."""
    rows, columns = _sources(images, size, scale, offset)
    limit = tf.shape(images)[1:3]
    return ((rows >= 0) & (rows < limit[0]))[:, None] & ((columns >= 0) & (columns < limit[1]))[None, :]


def _sources(images: tf.Tensor, size: int, scale: tf.Tensor, offset: tf.Tensor) -> list[tf.Tensor]:
    centres = tf.range(size, dtype=tf.float32) + 0.5
    return [tf.cast(tf.floor((centres + offset[k]) / scale[k]), tf.int32) for k in range(2)]


def cubic_taps(image: tf.Tensor) -> tf.Tensor:
    """Lay out the 4 x 4 neighbours of every pixel of (h, w, 3) uint8 side by side: (h + 1, w + 1, 48).

    Row (i, j) holds pixels i - 2 .. i + 1, j - 2 .. j + 1, borders repeated: a cubic between pixel centres becomes one
    gather of 48 bytes. TensorFlow has no cubic affine op, and sixteen gathers take several times as long.
    """
    padded = image
    for axis in (0, 1):
        low, high = [tf.gather(padded, [at], axis=axis) for at in (0, tf.shape(image)[axis] - 1)]
        padded = tf.concat([low, low, padded, high, high], axis=axis)
    height, width = tf.shape(image)[0] + 1, tf.shape(image)[1] + 1
    shifted = [padded[i : i + height, j : j + width] for i in range(TAPS) for j in range(TAPS)]
    return tf.concat(shifted, axis=-1)


def affine(
    taps: tf.Tensor, mask: tf.Tensor, size: int, matrix: tf.Tensor, shift: tf.Tensor, fill: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Warp one image and its mask by source = matrix @ output + shift, in (y, x) coordinates of pixel centres.

    Args:
      taps: (h + 1, w + 1, 48) uint8, from `cubic_taps`.
      mask: (h, w) uint8.
      size: side of the output.
      matrix: (2, 2) float32.
      shift: (2,) float32.
      fill: (3,) float32 colour for pixels whose source lies outside the image; their label is 0.

    Returns:
      image (size, size, 3) float32 and mask (size, size) uint8.
    """
    limit = tf.shape(mask)
    flat_mask, flat_taps = tf.reshape(mask, [-1]), tf.reshape(taps, [-1, TAPS * TAPS * 3])
    columns = tf.range(size, dtype=tf.float32) + 0.5

    def block(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        y, x = [matrix[k, 0] * rows[:, None] + matrix[k, 1] * columns[None, :] + shift[k] for k in range(2)]
        y, x = tf.reshape(y, [-1]), tf.reshape(x, [-1])
        row, column = tf.cast(tf.floor(y), tf.int32), tf.cast(tf.floor(x), tf.int32)
        on = (row >= 0) & (row < limit[0]) & (column >= 0) & (column < limit[1])
        row, column = tf.clip_by_value(row, 0, limit[0] - 1), tf.clip_by_value(column, 0, limit[1] - 1)
        labels = tf.where(on, tf.gather(flat_mask, row * limit[1] + column), tf.zeros([], mask.dtype))
        # Between centres: pixel floor(y - 0.5) and its neighbours; rows of taps start one early, to admit floor = -1.
        y = tf.clip_by_value(y, 0, tf.cast(limit[0], tf.float32)) - 0.5
        x = tf.clip_by_value(x, 0, tf.cast(limit[1], tf.float32)) - 0.5
        top, left = tf.floor(y), tf.floor(x)
        cell = (tf.cast(top, tf.int32) + 1) * (limit[1] + 1) + tf.cast(left, tf.int32) + 1
        neighbours = tf.cast(tf.transpose(tf.gather(flat_taps, cell)), tf.float32)
        across = cubic_weights(x - left)
        weights = tf.stack([down * side for down in cubic_weights(y - top) for side in across])
        colours = tf.reduce_sum(tf.reshape(neighbours, [TAPS * TAPS, 3, -1]) * weights[:, None], axis=0)
        return tf.transpose(tf.where(on, colours, fill[:, None])), labels

    # A few rows at a time: the 16 neighbours of a whole image leave the processor's cache, at twice the cost.
    blocks = max(k for k in range(1, 33) if size % k == 0)
    rows = tf.reshape(tf.range(size, dtype=tf.float32) + 0.5, [blocks, -1])
    colours, labels = tf.map_fn(block, rows, fn_output_signature=(tf.float32, mask.dtype), parallel_iterations=1)
    return tf.reshape(colours, [size, size, 3]), tf.reshape(labels, [size, size])


def cubic_weights(fraction: tf.Tensor) -> list[tf.Tensor]:
    """Return Keys' weights, a = -0.5, of the pixels at -1, 0, 1, 2 for fractions (n,) in [0, 1)."""
    f, g = fraction, 1 - fraction
    return [-0.5 * f * g * g, 1 + f * f * (1.5 * f - 2.5), 1 + g * g * (1.5 * g - 2.5), -0.5 * g * f * f]
