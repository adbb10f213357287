"""The ranges of augmentation, measured on an image whose colours are its coordinates."""

import numpy as np
import pytest

from configs.common import get_config
from data_pipeline import augment
from data_pipeline.merge import renumber
from data_pipeline.sampling import generator


def fields(**static):
    data = get_config().data
    data.update({"frames": 3, "crop": 150})
    data.static.update({"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, **static})
    return data


def fit(image, mask):
    """Fit source = A @ output + b, in (y, x) pixel centres, to the colours where the mask is set."""
    on = mask == 1
    on &= np.roll(on, 3, 0) & np.roll(on, -3, 0) & np.roll(on, 3, 1) & np.roll(on, -3, 1)  # away from the border
    out = np.argwhere(on) + 0.5
    source = image[on][:, :2].astype(float) + 0.5
    solution, *_ = np.linalg.lstsq(np.c_[out, np.ones(len(out))], source, rcond=None)
    error = np.abs(np.c_[out, np.ones(len(out))] @ solution - source).max()
    assert error < 1.5, "the warp is not affine"  # rounding is 0.5
    return solution[:2].T, solution[2]


def static_views(grid, data, count):
    for k in range(count):
        images, masks, objects = augment.static(grid, np.ones(grid.shape[:2], np.uint8), generator(8, 2, k), data)
        assert objects == 1
        yield images, masks


def test_the_affine_of_later_frames_spans_its_ranges_and_frame_zero_has_none(grid):
    data = fields(area=(1.0, 1.0), ratio=(1.0, 1.0))
    image = grid[:, :200]
    angles, shears, zooms, shifts, flips = [], [], [], [], []
    for images, masks in static_views(image, data, 40):
        matrix, shift = fit(images[0], masks[0])
        scale = 200 / 150
        np.testing.assert_allclose(np.abs(matrix), [[scale, 0], [0, scale]], atol=2e-2)  # unwarped, perhaps mirrored
        assert (masks[0] == 1).all()
        mirrored = matrix[1, 1] < 0
        for t in (1, 2):
            matrix, shift = fit(images[t], masks[t])
            if mirrored:  # undo the clip's own flip
                matrix[1], shift[1] = -matrix[1], 200 - shift[1]
            flips.append(np.linalg.det(matrix) < 0)
            if flips[-1]:
                matrix[1], shift[1] = -matrix[1], 200 - shift[1]
            forward = np.linalg.inv(matrix / scale)  # (y, x): zoom * rotation @ shear
            # In (x, y) it is zoom [[c, c k - s], [s, s k + c]].
            (d, b), (e, a) = forward[0], forward[1]
            angle = np.arctan2(b, a)
            zoom = np.hypot(a, b)
            shear = np.arctan((e * np.cos(angle) + d * np.sin(angle)) / zoom)
            centre = np.array([100, 100])
            moved = (np.linalg.inv(matrix) @ (centre - shift)) * scale - centre
            angles.append(np.degrees(angle)), shears.append(np.degrees(shear)), zooms.append(zoom)
            shifts.append(moved / 200)
    for values, low, high in ((angles, -20, 20), (shears, -10, 10), (zooms, 0.9, 1.1), (np.ravel(shifts), -0.1, 0.1)):
        slack = 0.03 * (high - low)
        assert min(values) > low - slack
        assert max(values) < high + slack
        assert min(values) < low + 0.2 * (high - low)
        assert max(values) > high - 0.2 * (high - low)
    assert 0.15 < np.mean(flips) < 0.45


def test_the_resized_crop_spans_its_ranges(grid):
    data = fields(degrees=0.0, shear=0.0, shift=0.0, zoom=(1.0, 1.0))
    areas, ratios = [], []
    for images, masks in static_views(grid, data, 30):
        assert (masks == 1).all()
        for image in images:
            matrix, shift = fit(image, np.ones(image.shape[:2]))
            height, width = matrix[0, 0] * 150, abs(matrix[1, 1]) * 150
            left = shift[1] - (width if matrix[1, 1] < 0 else 0)
            assert shift[0] > -1
            assert left > -1
            assert shift[0] + height < 201
            assert left + width < 241
            areas.append(height * width / (200 * 240)), ratios.append(width / height)
    assert min(areas) > 0.78
    assert max(areas) < 1.02
    assert max(areas) - min(areas) > 0.12
    assert min(ratios) > 0.73
    assert max(ratios) < 1.36
    assert max(ratios) - min(ratios) > 0.3


def test_a_long_image_gets_the_largest_window_in_the_middle():
    corner, extent = augment.resized_crop(generator(8, 2, 0), np.array([100.0, 400.0]), fields().static)
    np.testing.assert_allclose(extent, [100, 400 / 3], rtol=1e-6)
    np.testing.assert_allclose(corner, [0, 400 / 3], rtol=1e-6)


def test_identities_of_a_static_clip_are_shuffled_and_at_most_ten(grid):
    mask = np.repeat(np.arange(1, 21, dtype=np.uint8), 10)[:, None] * np.ones((1, 240), np.uint8)
    orders = set()
    for k in range(4):
        images, masks, objects = augment.static(grid, mask, generator(8, 2, k), fields())
        assert objects == 10
        assert set(np.unique(masks[0])) == set(range(11))
        assert set(np.unique(masks)) == set(range(11))
        # The label must be that of the band of rows that the colours encode.
        rows = images[0, :, :, 0] // 10
        orders.add(tuple(int(np.median(rows[masks[0] == number])) for number in range(1, 11)))
    assert len(orders) == 4
    assert any(list(order) != sorted(order) for order in orders)


def video_view(images, masks, k, **changes):
    data = get_config().data
    data.update({"crop": 100, "short_edge": 100, **changes})
    return data, augment.video(list(images), list(masks), generator(8, 2, k), data)


def test_a_video_clip_is_scaled_cropped_or_padded_and_flipped_alike_in_every_frame(grid):
    images = np.stack([grid] * 3)
    masks = np.ones(images.shape[:3], np.uint8)
    zooms, flips, padded, places = [], [], 0, []
    for k in range(40):
        data, (out, labels, objects) = video_view(images, masks, k)
        assert objects == 1
        assert out.dtype == labels.dtype == np.uint8
        for t in (1, 2):
            np.testing.assert_array_equal(out[t], out[0])
        matrix, _ = fit(out[0], labels[0])
        assert abs(matrix[0, 1]) < 0.02
        assert abs(matrix[1, 0]) < 0.02
        zooms.append(2 / matrix[0, 0])  # short edge 200 -> 100
        np.testing.assert_allclose(abs(matrix[1, 1]), matrix[0, 0], atol=0.03)
        flips.append(matrix[1, 1] < 0)
        empty = labels[0] == 0
        assert (out[0][empty] == data.fill).all()
        rows = 100 - round(100 * zooms[-1])
        if rows > 1:
            padded += 1
            assert abs(empty.all(axis=1).sum() - rows) <= 1
            places.append(np.flatnonzero(~empty.all(axis=1))[0] / rows)
        elif rows < -1:
            assert not empty.all(axis=1).any()
    assert min(zooms) > 0.69
    assert max(zooms) < 1.31
    assert min(zooms) < 0.8
    assert max(zooms) > 1.2
    assert 0.25 < np.mean(flips) < 0.75
    assert padded > 8
    assert min(places) < 0.3  # the offset of a padded clip is random
    assert max(places) > 0.7


def test_masks_move_with_their_images(grid):
    """Check that the colours under each label are those of the label's rectangle of the grid."""
    corners = {3: (20, 30), 5: (90, 60), 9: (120, 160)}
    mask = np.zeros((200, 240), np.uint8)
    for number, (y, x) in corners.items():
        mask[y : y + 60, x : x + 60] = number
    boxes = [corners[number] for number in sorted(corners)]

    def agree(image, labels):
        filled = (image == fields().fill).all(-1)
        image = np.where(filled[..., None], -1000, image.astype(int))  # the fill colour is also that of a grid position
        for y, x in boxes:
            inside = (np.abs(image[..., 0] - y - 29.5) < 27) & (np.abs(image[..., 1] - x - 29.5) < 27)
            outside = (np.abs(image[..., 0] - y - 29.5) > 33) | (np.abs(image[..., 1] - x - 29.5) > 33)
            owner = set(np.unique(labels[inside]))
            assert len(owner) <= 1
            if owner and owner != {0}:
                assert not (labels[outside] == owner.pop()).any()

    clip = np.stack([grid] * 3), np.stack([mask] * 3)
    seen = 0
    for k in range(10):
        _, (images, masks, objects) = video_view(*clip, k)
        agree(images[1], masks[1])
        seen += int(objects)
        static_images, static_masks, n = augment.static(grid, mask, generator(8, 2, k), fields())
        for t in range(3):
            agree(static_images[t], static_masks[t])
        assert n == 3
    assert seen >= 15


def test_small_objects_of_the_cropped_reference_go_and_void_stays(grid):
    mask = np.zeros((3, 200, 240), np.uint8)
    mask[:, :100] = 40
    mask[:, 110:113, 100:103] = 17  # 9 pixels, and fewer after scaling
    mask[1:, 120:150, 100:200] = 200  # large, but not in the reference
    mask[:, 180:] = 255
    images = np.stack([grid] * 3)
    voids = 0
    for k in range(12):
        _, (out, labels, objects) = video_view(images, mask, k)
        assert objects == 1
        assert set(np.unique(labels)) <= {0, 1, 255}
        rows = out[0, :, :, 0].astype(int)
        here = (out[0] != (124, 116, 104)).any(-1)
        assert (labels[0][here & (rows < 96)] == 1).all()
        assert (labels[1][here & (rows > 104) & (rows < 176)] == 0).all()
        assert (labels[0][here & (rows > 184)] == 255).all()
        voids += (labels == 255).any()
    assert voids > 5


def test_the_window_is_moved_until_it_holds_an_object(grid):
    mask = np.zeros((2, 200, 240), np.uint8)
    mask[:, 150:175, 190:215] = 1
    images = np.stack([grid] * 2)

    def hits(**changes):
        return sum(int(video_view(images, mask, k, crop=60, **changes)[1][2]) for k in range(60))

    once, five = hits(crop_tries=1), hits(crop_tries=5)
    assert 2 < once < 40
    assert five > once + 10


def test_renumbering_keeps_a_random_ten_and_void():
    masks = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    chosen = set()
    for k in range(5):
        out, count = renumber(masks, np.arange(5, 255, 5), 10, generator(8, 2, k))
        out = out.ravel()
        assert count == 10
        kept = np.flatnonzero((out > 0) & (out < 255))
        assert (kept % 5 == 0).all()
        assert out[kept].tolist() == list(range(1, 11))  # ascending unless shuffled
        assert out[255] == 255
        chosen.add(tuple(kept))
    assert len(chosen) == 5


@pytest.mark.parametrize("shape", [(40, 300), (33, 20)])
def test_any_shape_of_frame_gives_the_fixed_shape(shape):
    images = np.zeros((2, *shape, 3), np.uint8)
    masks = np.ones((2, *shape), np.uint8)
    _, (out, labels, _) = video_view(images, masks, 0)
    assert out.shape == (2, 100, 100, 3)
    assert labels.shape == (2, 100, 100)
    out, labels, _ = augment.static(images[0], masks[0], generator(8, 2, 0), fields())
    assert out.shape == (3, 150, 150, 3)
    assert labels.shape == (3, 150, 150)
