"""Overlays: tint, contours, numbers inside their objects."""

import numpy as np
from PIL import Image

from aot_jax.io.masks import DAVIS_PALETTE
from aot_jax.io.overlay import centres, contours, draw_overlay


def test_a_tint_over_objects_only():
    frame = np.full((40, 60, 3), 100, np.uint8)
    labels = np.zeros((40, 60), int)
    labels[10:30, 10:30], labels[:, 50:] = 2, 255
    drawn = draw_overlay(frame, labels, ids=False)
    np.testing.assert_array_equal(drawn[labels == 0], frame[labels == 0])
    np.testing.assert_array_equal(drawn[labels == 255], frame[labels == 255])  # void
    assert drawn[20, 20].tolist() == ((DAVIS_PALETTE[2].astype(int) + 100) // 2).tolist()
    for side in (drawn[10, 10:30], drawn[29, 10:30], drawn[10:30, 10], drawn[10:30, 29]):
        assert (side == 255).all()
    assert (frame == 100).all()  # the input is unchanged


def test_every_object_has_a_colour():
    frame = np.zeros((30, 90, 3), np.uint8)
    labels = np.repeat([255, 256, 512], 30)[None].repeat(30, axis=0)
    drawn = draw_overlay(frame, labels, ids=False, void=None)
    assert all(drawn[15, x].any() for x in (15, 45, 75))
    assert not draw_overlay(frame, labels, ids=False)[15, 15].any()


def test_without_objects_the_frame_is_as_it_was():
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(draw_overlay(frame, np.zeros((5, 7), int)), frame)
    assert draw_overlay(frame[:1, :1], np.ones((1, 1), int)).shape == (1, 1, 3)


def test_ids_are_written_inside_their_objects():
    frame = np.zeros((80, 120, 3), np.uint8)
    labels = np.zeros((80, 120), int)
    labels[10:70, 10:50], labels[10:70, 70:110] = 300, 7
    plain, numbered = draw_overlay(frame, labels, ids=False), draw_overlay(frame, labels)
    changed = (plain != numbered).any(axis=-1)
    assert changed.any()
    assert (labels[changed] != 0).all()
    assert {300, 7} == set(labels[changed].tolist())
    assert isinstance(Image.fromarray(numbered), Image.Image)


def test_a_number_stands_on_its_object_even_if_that_is_hollow():
    ring = np.ones((21, 21), int)
    ring[4:17, 4:17] = 0
    (y, x) = centres(ring, ring != 0)[1]
    assert ring[y, x] == 1
    assert centres(np.array([[0, 5, 5, 5, 9]]), np.array([[False, True, True, True, True]])) == {5: (0, 2), 9: (0, 4)}


def test_contours_are_as_wide_as_asked_for():
    labels = np.zeros((6, 6), int)
    labels[:, :4] = 1
    assert np.flatnonzero(contours(labels)[0]).tolist() == [3, 4]
    assert np.flatnonzero(contours(labels, width=2)[0]).tolist() == [2, 3, 4, 5]
    np.testing.assert_array_equal(contours(labels.T, width=2), contours(labels, width=2).T)
    assert contours(np.ones((1, 1), int)).tolist() == [[False]]
