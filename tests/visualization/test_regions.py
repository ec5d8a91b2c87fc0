"""Drawings: colours, where labels stand, what is left untouched."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lmv3det.visualization.regions import _label_place, color, draw_regions

WHITE = np.full((300, 400, 3), 255, dtype=np.uint8)


def test_colours_differ_and_stay():
    colours = [color(index) for index in range(40)]
    assert len(set(colours)) == 40 and colours == [color(index) for index in range(40)]
    for rgb in colours:  # dark enough for white paper
        assert all(0 <= value <= 255 for value in rgb) and min(rgb) < 200


def test_regions_are_outlined_in_their_colour():
    page = WHITE.copy()
    out = draw_regions(page, [[50, 60, 200, 160]], ["Text"], [3])
    assert isinstance(out, Image.Image) and out.mode == "RGB" and out.size == (400, 300)
    pixels = np.asarray(out)
    assert tuple(pixels[100, 50]) == color(3) and tuple(pixels[160, 120]) == color(3)
    assert (pixels[100, 100] < 255).any() and pixels[100, 100].min() > 180  # a light tint
    assert (pixels[250:] == 255).all()
    assert (page == 255).all()  # the given page is as it was


def test_outlines_in_place_of_boxes():
    triangle = np.array([[50.0, 60], [200, 60], [50, 160]])
    out = np.asarray(draw_regions(WHITE, [[50, 60, 200, 160]], [""], [0], polygons=[[triangle]]))
    assert tuple(out[100, 50]) == color(0)
    assert (out[150, 190] == 255).all()  # in the box, not in the region


def test_a_mask_of_many_rectangles_has_one_edge():
    strips = [
        np.array([[x, 60.0], [x + 10, 60], [x + 10, 160], [x, 160]]) for x in range(50, 200, 10)
    ]
    out = np.asarray(draw_regions(WHITE, [[50, 60, 200, 160]], [""], [0], polygons=[strips]))
    inner = out[100, 55:195].reshape(-1, 3)
    assert len(np.unique(inner, axis=0)) == 1
    assert tuple(out[100, 50]) == color(0)


def test_text_lines_show_within_regions():
    plain = np.asarray(draw_regions(WHITE, [[50, 60, 200, 160]], [""], [0]))
    lines = [[60, 80, 150, 95], [300, 200, 350, 210]]
    out = np.asarray(draw_regions(WHITE, [[50, 60, 200, 160]], [""], [0], line_boxes=lines))
    changed = np.argwhere((plain != out).any(axis=2))
    assert [80, 100] in changed.tolist() and [200, 320] in changed.tolist()


def test_labels_avoid_regions_and_each_other():
    boxes = np.array([[50.0, 60, 200, 160], [50, 160, 200, 260], [50, 260, 200, 290]])
    taken = np.zeros((0, 4))
    for index in range(3):
        place = np.array(_label_place(boxes, index, (30, 14), (400, 300), taken))
        for other in np.concatenate([boxes, taken]):
            low, high = np.maximum(place[:2], other[:2]), np.minimum(place[2:], other[2:])
            assert (high - low).min() <= 0
        taken = np.concatenate([taken, [place]])


def test_labels_stay_on_the_page():
    boxes = np.array([[0.0, 0, 400, 300], [395, 295, 400, 300]])
    for index in range(2):
        x0, y0, x1, y1 = _label_place(boxes, index, (60, 20), (400, 300), np.zeros((0, 4)))
        assert x0 >= 0 and y0 >= 0 and x1 <= 400 and y1 <= 300


def test_label_larger_than_the_page():
    draw_regions(np.zeros((5, 8, 3), np.uint8), [[0, 0, 8, 5]], ["a very long name"], [0])


def test_chinese_labels_differ_from_one_another():
    """With a Chinese font; without one, they are drawn all the same."""
    out = draw_regions(WHITE, [[50, 60, 200, 160]], ["表格 table"], [0])
    assert (np.asarray(out) != 255).any()


def test_nothing_to_draw():
    assert (np.asarray(draw_regions(WHITE, np.zeros((0, 4)), [], [])) == 255).all()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="as many"):
        draw_regions(WHITE, [[0, 0, 5, 5]], [], [0])
    with pytest.raises(ValueError, match="as many"):
        draw_regions(WHITE, [[0, 0, 5, 5]], ["a"], [0], polygons=[])
