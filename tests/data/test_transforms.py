"""Transforms: sizes and pixels of the original, and everything on a page moving together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmv3det.data.transforms import (
    TestTransform,
    TrainTransform,
    clip_outline,
    crop,
    flip,
    random_window,
    resize,
    shortest_edge_size,
)
from lmv3det.structures import Page, Sample

FIXTURE = Path(__file__).parents[1] / "parity" / "components.npz"


def corners(box) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def painted(height: int, width: int, boxes, lines=()) -> Sample:
    """A white page on which region k has the value 10 · k and line k the value 100 + 10 · k."""
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    for first, group in ((0, boxes), (100, lines)):
        for k, (x0, y0, x1, y1) in enumerate(group):
            image[y0:y1, x0:x1] = first + 10 * k
    return Sample(
        image=image,
        page=Page("page.png", width, height),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        classes=np.arange(len(boxes), dtype=np.int64),
        polygons=[[corners(box)] for box in boxes],
        line_boxes=np.array(lines, dtype=np.float64).reshape(-1, 4),
        lines=[f"w{k}" for k in range(len(lines))],
    )


def check_painted(sample: Sample) -> None:
    """Boxes, outlines and lines cover exactly the pixels of their value."""
    assert sample.image.dtype == np.uint8 and sample.image.flags.c_contiguous
    values = [10 * k for k in sample.classes] + [100 + 10 * int(w[1:]) for w in sample.lines]
    boxes = np.concatenate([sample.boxes, sample.line_boxes])
    for value, box in zip(values, boxes, strict=True):
        ys, xs = np.nonzero(sample.image[..., 0] == value)
        assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == box.tolist()
    for box, outline in zip(sample.boxes, sample.polygons, strict=True):
        points = np.concatenate(outline)
        assert np.concatenate([points.min(axis=0), points.max(axis=0)]).tolist() == box.tolist()


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_sizes_of_the_original():
    data = np.load(FIXTURE)
    for i, size in enumerate(data["resize.hw"].tolist()):
        for j, (shortest, longest) in enumerate(data["resize.short_max"].tolist()):
            expected = tuple(data["resize.out"][i, j])
            assert shortest_edge_size(tuple(size), shortest, longest) == expected


def test_pixels_of_the_original():
    data = np.load(FIXTURE)
    image = data["resize.image"]
    for name in ("94x72", "31x24", "60x50"):
        size = tuple(int(side) for side in name.split("x"))
        resized = resize(Sample(image, Page("", 36, 47)), size).image
        assert np.array_equal(resized, data[f"resize.image_{name}"])


def test_a_side_never_vanishes():
    assert shortest_edge_size((1, 100_000), 800, 1333) == (1, 1333)


def test_resize_scales_each_way_by_its_own_factor():
    sample = painted(20, 40, [(4, 5, 20, 10)], [(0, 0, 40, 2)])
    out = resize(sample, (40, 20))
    assert out.image.shape == (40, 20, 3)
    assert out.boxes.tolist() == [[2, 10, 10, 20]]
    assert out.polygons[0][0].tolist() == corners((2, 10, 10, 20)).tolist()
    assert out.line_boxes.tolist() == [[0, 0, 20, 4]]
    assert sample.boxes.tolist() == [[4, 5, 20, 10]]  # the given one is as it was


def test_flip_moves_everything_and_undoes_itself():
    sample = painted(30, 41, [(4, 5, 20, 10), (0, 20, 41, 30)], [(30, 2, 40, 4)])
    mirrored = flip(sample)
    check_painted(mirrored)
    assert mirrored.boxes[0].tolist() == [21, 5, 37, 10]
    assert mirrored.lines == ["w0"]
    assert area(mirrored.polygons[0][0]) == area(sample.polygons[0][0])  # same sense
    twice = flip(mirrored)
    assert np.array_equal(twice.image, sample.image)
    assert np.array_equal(twice.boxes, sample.boxes)
    assert np.array_equal(twice.polygons[0][0], sample.polygons[0][0])


def test_crop_cuts_and_drops():
    regions = [(4, 5, 20, 10), (0, 0, 5, 5), (25, 12, 40, 30), (10, 11, 12, 13)]
    lines = [(6, 14, 16, 16), (8, 18, 38, 20), (12, 22, 30, 24), (0, 26, 9, 28)]
    out = crop(painted(30, 41, regions, lines), (10, 6, 30, 29))
    check_painted(out)
    assert out.image.shape == (23, 20, 3)
    assert out.classes.tolist() == [0, 2, 3]  # 1 is gone
    assert out.boxes.tolist() == [[0, 0, 10, 4], [15, 6, 20, 23], [0, 5, 2, 7]]
    # Centres of lines at x = 11, 23, 21, 4.5: the last leaves.
    assert out.lines == ["w0", "w1", "w2"]
    assert out.line_boxes[0].tolist() == [0, 8, 6, 10]


def test_crop_keeps_intact_regions_as_they_are():
    sample = painted(30, 41, [(4, 5, 20, 10)])
    sample.polygons = [[corners((5, 6, 19, 9))]]  # annotations are seldom exact
    out = crop(sample, (2, 2, 30, 30))
    assert out.boxes.tolist() == [[2, 3, 18, 8]]
    assert out.polygons[0][0].tolist() == corners((3, 4, 17, 7)).tolist()


def test_box_of_a_cut_region_fits_what_is_left():
    sample = painted(40, 40, [(0, 0, 30, 30)])
    # An L: a column at the left, a foot at the bottom.
    foot = np.array([[0, 0], [10, 0], [10, 20], [30, 20], [30, 30], [0, 30]], dtype=float)
    sample.polygons = [[foot]]
    out = crop(sample, (5, 0, 40, 15))
    assert out.boxes.tolist() == [[0, 0, 5, 15]]
    assert not len(crop(sample, (12, 0, 40, 15)).boxes)  # box there, region not
    assert not len(crop(sample, (12, 0, 40, 15)).classes)


@pytest.mark.parametrize("window", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, 5, 99)])
def test_crop_refuses_windows_off_the_page(window):
    with pytest.raises(ValueError, match="window"):
        crop(painted(30, 40, []), window)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_clipped_polygons_cover_the_same_points(data):
    coordinate = st.integers(-20, 40).map(float)
    points = data.draw(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8))
    polygon = np.array(points)
    clipped = clip_outline([polygon], 20, 15)
    for part in clipped:
        assert (part >= 0).all() and (part <= (20, 15)).all()
    # Points off every vertex' and edge's row and column, against the winding number.
    probes = np.stack(np.meshgrid(np.arange(20) + 0.4137, np.arange(15) + 0.3719), -1)
    total = sum(winding(part, probes.reshape(-1, 2)) for part in clipped)
    expected = winding(polygon, probes.reshape(-1, 2))
    if clipped or abs(area(polygon)) == 0:
        assert np.array_equal(total + np.zeros_like(expected), expected)
    else:
        # Self-crossing outlines may have a signed area of 0; a simple one never.
        assert abs(expected.sum()) <= 1


def winding(polygon: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How often the polygon runs round each point."""
    number = np.zeros(len(points), dtype=int)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        side = (x1 - x0) * (points[:, 1] - y0) - (points[:, 0] - x0) * (y1 - y0)
        number += (y0 <= points[:, 1]) & (y1 > points[:, 1]) & (side > 0)
        number -= (y0 > points[:, 1]) & (y1 <= points[:, 1]) & (side < 0)
    return number


def test_windows_are_detrs():
    generator = np.random.default_rng(0)
    for height, width in ((1000, 700), (300, 900), (50, 60)):
        for _ in range(200):
            x0, y0, x1, y1 = random_window((height, width), generator)
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
            scales = [short / min(height, width) for short in (400, 500, 600)]
            assert any(
                all(
                    min(384, side * scale) - scale <= cut * scale <= min(600, side * scale) + scale
                    for side, cut in ((height, y1 - y0), (width, x1 - x0))
                )
                for scale in scales
            )


def test_training_draws_depend_on_the_generator_alone():
    regions, lines = [(40, 50, 200, 100), (0, 200, 410, 300)], [(60, 60, 180, 80)]
    transform = TrainTransform([64, 96], 200, flip=0.5, crop=0.5)
    outs = []
    for seed in range(30):
        page = painted(300, 410, regions, lines)
        a = transform(page, np.random.default_rng(seed))
        b = transform(page, np.random.default_rng(seed))
        assert np.array_equal(a.image, b.image) and np.array_equal(a.boxes, b.boxes)
        assert min(a.image.shape[:2]) <= 96 and max(a.image.shape[:2]) <= 200
        assert len(a.boxes) == len(a.classes) == len(a.polygons)
        assert len(a.lines) == len(a.line_boxes)
        limit = np.tile(a.image.shape[1::-1], 2) + 1e-9
        assert (a.boxes >= 0).all() and (a.boxes <= limit).all()
        outs.append(a.image.shape[:2])
    assert len(set(outs)) > 5  # it does vary


def test_without_flip_and_crop_only_the_size_changes():
    transform = TrainTransform([150], 1000)
    out = transform(painted(300, 410, [(40, 50, 200, 100)]), np.random.default_rng(0))
    assert out.image.shape[:2] == (150, 205)
    assert out.boxes.tolist() == [[20, 25, 100, 50]]


def test_test_transform():
    out = TestTransform(800, 1333)(painted(794, 596, [(0, 0, 596, 794)]))
    assert out.image.shape[:2] == (1066, 800)
    np.testing.assert_allclose(out.boxes, [[0, 0, 800, 1066]])
    assert (out.page.width, out.page.height) == (596, 794)  # the page's own size stays


def test_pages_without_anything_on_them():
    page = painted(300, 410, [])
    for out in (flip(page), crop(page, (5, 5, 50, 50)), resize(page, (30, 41))):
        assert out.boxes.shape == (0, 4) and out.line_boxes.shape == (0, 4)
        assert out.classes.dtype == np.int64
