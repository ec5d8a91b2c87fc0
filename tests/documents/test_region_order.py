"""Reading order of regions, and the lines in them."""

from __future__ import annotations

import numpy as np
import pytest

from lmv3det.documents.reading import lines_of_regions, region_order

TWO_COLUMNS = [
    [50, 20, 550, 60],  # title over both
    [50, 80, 290, 300],
    [50, 310, 290, 500],
    [310, 80, 550, 200],
    [310, 210, 550, 500],
    [50, 520, 550, 640],  # a wide table
    [50, 660, 290, 780],
    [310, 660, 550, 780],
    [280, 790, 320, 800],  # page number
]
ONE_COLUMN = [
    [50, 20, 300, 40],  # a short heading
    [50, 50, 550, 200],
    [50, 210, 290, 400],  # two figures side by side
    [310, 210, 550, 400],
    [60, 410, 280, 420],  # their captions
    [320, 410, 540, 420],
    [50, 430, 550, 600],
]


@pytest.mark.parametrize("boxes", [TWO_COLUMNS, ONE_COLUMN[:4] + ONE_COLUMN[6:]])
@pytest.mark.parametrize("seed", range(5))
def test_regions_come_as_they_are_read(boxes, seed):
    boxes = np.array(boxes, dtype=np.float64)
    shuffled = np.random.default_rng(seed).permutation(len(boxes))
    order = region_order(boxes[shuffled])
    assert shuffled[order].tolist() == list(range(len(boxes)))
    # Of any scale and place, and with the small overlaps of detected boxes.
    assert np.array_equal(region_order(boxes[shuffled] * 3 + 100), order)
    grown = boxes + np.array([-4, -4, 4, 4])
    assert np.array_equal(region_order(grown[shuffled]), order)


def test_figures_side_by_side_are_read_with_their_captions():
    order = region_order(np.array(ONE_COLUMN, dtype=np.float64))
    assert order.tolist() == [0, 1, 2, 4, 3, 5, 6]


def test_regions_that_nothing_divides():
    boxes = np.array([[0, 30, 60, 90], [10, 0, 70, 60], [0, 0, 60, 59]], dtype=np.float64)
    assert region_order(boxes).tolist() == [2, 1, 0]
    assert region_order(np.zeros((0, 4))).tolist() == []
    assert region_order(boxes[:1]).tolist() == [0]
    same = np.array([[5.0, 5, 9, 9]] * 3)
    assert sorted(region_order(same).tolist()) == [0, 1, 2]
    points = np.array([[5.0, 5, 5, 5], [1, 1, 1, 1]])
    assert sorted(region_order(points).tolist()) == [0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_every_region_comes_once(seed):
    generator = np.random.default_rng(seed)
    boxes = generator.uniform(0, 100, (30, 4))
    boxes[:, 2:] = boxes[:, :2] + generator.uniform(0, 40, (30, 2))
    assert sorted(region_order(boxes).tolist()) == list(range(30))


def test_lines_are_in_the_region_that_holds_them():
    regions = np.array([[0, 0, 100, 100], [10, 10, 90, 50], [200, 0, 300, 100]], dtype=np.float64)
    lines = np.array(
        [
            [15, 30, 85, 38],  # second line of the inner region
            [15, 12, 85, 20],  # its first
            [5, 60, 95, 70],  # the outer one's
            [180, 10, 260, 20],  # three quarters in the third
            [150, 40, 205, 50],  # mostly outside of all
            [12, 5, 88, 20],  # two thirds in the inner one, all in the outer
        ],
        dtype=np.float64,
    )
    assert lines_of_regions(regions, lines) == [[5, 2], [1, 0], [3]]
    assert lines_of_regions(regions, np.zeros((0, 4))) == [[], [], []]
    assert lines_of_regions(np.zeros((0, 4)), lines) == []


def test_columns_within_a_region_are_read_one_by_one():
    lines = [[x, y, x + 200, y + 10] for x in (0, 220) for y in range(0, 200, 15)]
    shuffled = np.random.default_rng(0).permutation(len(lines))
    (found,) = lines_of_regions(
        np.array([[0.0, 0, 420, 220]]), np.array(lines, dtype=np.float64)[shuffled]
    )
    assert shuffled[found].tolist() == list(range(len(lines)))
