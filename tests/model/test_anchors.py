"""Anchors: sizes, shapes and the grid by hand."""

from __future__ import annotations

import pytest
import torch

from lmv3det.model.anchors import cell_anchors, grid_anchors


def test_square_by_hand() -> None:
    assert cell_anchors(32, [1.0]).tolist() == [[-16, -16, 16, 16]]


@pytest.mark.parametrize("size", [8, 32, 512])
def test_area_and_ratio(size: int) -> None:
    ratios = [0.1, 0.5, 1.0, 2.0]
    anchors = cell_anchors(size, ratios)
    assert anchors.dtype == torch.float32
    width, height = (anchors[:, 2:] - anchors[:, :2]).unbind(1)
    torch.testing.assert_close(width * height, torch.full((4,), float(size**2)))
    torch.testing.assert_close(height / width, torch.tensor(ratios))
    torch.testing.assert_close(anchors[:, :2], -anchors[:, 2:])  # centred on the origin


def test_wide_ratio_comes_first() -> None:
    width, height = (cell_anchors(16, [0.25])[0, 2:] * 2).tolist()
    assert (width, height) == (32, 8)


def test_order_is_row_column_anchor() -> None:
    cell = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2, 2]])
    grid = grid_anchors(cell, (2, 3), 4)
    assert grid.shape == (12, 4)
    expected = [[x, y, x + s, y + s] for y in (0, 4) for x in (0, 4, 8) for s in (1, 2)]
    assert grid.tolist() == expected


def test_dtype_follows_the_cell() -> None:
    assert grid_anchors(torch.zeros(1, 4, dtype=torch.float64), (1, 1), 4).dtype == torch.float64


def test_cells_are_made_on_the_host_even_where_parameters_are_not() -> None:
    with torch.device("meta"):
        assert cell_anchors(32, [1.0]).device.type == "cpu"
