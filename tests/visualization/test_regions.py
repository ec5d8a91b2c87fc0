"""Drawings: colours, where labels stand, what is left untouched."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lmv3det.visualization import regions
from lmv3det.visualization.labels import Placer
from lmv3det.visualization.regions import color, draw_regions

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


def overlap(box, other):
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    return (high - low).clip(min=0).prod()


def test_labels_avoid_regions_and_each_other():
    boxes = np.array([[50.0, 60, 200, 160], [50, 160, 200, 260], [50, 260, 200, 290]])
    placer = Placer(Image.fromarray(WHITE), boxes)
    places = [np.array(placer.place(box, (30, 14))) for box in boxes]
    for index, place in enumerate(places):
        assert not any(overlap(place, other) for other in [*boxes, *places[:index]])


def test_labels_of_small_regions_are_next_to_them_and_not_on_text():
    """A page number between lines of text: its label goes where the page is empty."""
    page = WHITE.copy()
    page[100:112, 20:190] = page[140:152, 20:380] = 0  # text above left, and below
    number = np.array([200.0, 118, 208, 126])
    placer = Placer(Image.fromarray(page), number[None])
    place = np.array(placer.place(number, (60, 16)))
    assert overlap(place, number) == 0
    x0, y0, x1, y1 = place.round().astype(int)
    assert (page[y0:y1, x0:x1] == 255).all()
    assert max(x0 - 208, 200 - x1, y0 - 126, 118 - y1) <= 2  # next to it


def test_labels_stay_on_the_page():
    boxes = np.array([[0.0, 0, 400, 300], [395, 295, 400, 300]])
    placer = Placer(Image.fromarray(WHITE), boxes)
    for box in boxes:
        x0, y0, x1, y1 = placer.place(box, (60, 20))
        assert x0 >= 0 and y0 >= 0 and x1 <= 400 and y1 <= 300


def test_thin_regions_have_thin_outlines():
    page = np.full((1600, 1200, 3), 255, dtype=np.uint8)
    out = np.asarray(
        draw_regions(page, [[100, 100, 900, 112], [100, 300, 900, 700]], ["", ""], [0, 0])
    )
    edge = (out == color(0)).all(axis=2)
    assert edge[90:125, 500].sum() == 2  # above and below, a pixel each
    assert edge[290:710, 500].sum() == 6  # three pixels each


def test_a_page_of_100_000_regions():
    """Labels are bounded, and no step compares all regions with all."""
    generator = np.random.default_rng(0)
    corner = generator.random((100_000, 2)) * [390, 290]
    boxes = np.concatenate([corner, corner + 5], axis=1)
    boxes[7] = [0, 0, 300, 200]
    names = [f"region {index}" for index in range(100_000)]
    out = draw_regions(WHITE, boxes, names, [0] * 100_000)
    assert out.size == (400, 300)


def test_huge_pages_are_drawn_smaller(monkeypatch):
    monkeypatch.setattr(regions, "MAX_SIDE", 200)
    out = draw_regions(WHITE, [[100, 100, 300, 200]], [""], [0])  # a page of 400 by 300 pixels
    assert out.size == (200, 150)
    edge = (np.asarray(out) == color(0)).all(axis=2)
    ys, xs = np.nonzero(edge)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (50, 50, 150, 100)


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
