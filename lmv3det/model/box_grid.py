"""The box-to-grid map: text features painted on the cells that their boxes cover.

Shapes: B batch, T text tokens, C channels, H×W cells.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cell_ranges(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First and last column, first and last row that each box covers, both ends included.

    Args:
        boxes: …×4 on the 0..1000 grid, integers or floats.

    Returns:
        x0, y0, x1, y1, each … int64, cut at the grid (x for columns, y for rows).
    """
    sizes = torch.tensor([width, height, width, height], device=boxes.device)
    cells = (boxes.float() / 1000 * sizes).long()
    return tuple(torch.minimum(cells, sizes - 1).clamp(min=0).unbind(-1))  # type: ignore[return-value]


def coverage(boxes: Tensor, valid: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Which rows B×T×H and columns B×T×W each valid box covers, bool."""
    x0, y0, x1, y1 = (edge.unsqueeze(-1) for edge in cell_ranges(boxes, height, width))
    row = torch.arange(height, device=boxes.device)
    column = torch.arange(width, device=boxes.device)
    rows = (row >= y0) & (row <= y1) & valid.unsqueeze(-1)
    return rows, (column >= x0) & (column <= x1)


def covered_cells(boxes: Tensor, valid: Tensor, height: int, width: int) -> Tensor:
    """Cells that some valid box covers: B×1×H×W bool."""
    return _count(boxes, valid, height, width).unsqueeze(1) > 0


def _count(boxes: Tensor, valid: Tensor, height: int, width: int) -> Tensor:
    rows, columns = coverage(boxes, valid, height, width)
    return torch.bmm(rows.transpose(1, 2).float(), columns.float())  # B×H×W, exact below 2**24


def scatter(
    text_features: Tensor,
    boxes: Tensor,
    valid: Tensor,
    height: int,
    width: int,
    reduce: str = "sum",
) -> Tensor:
    """Sum (or mean), in each cell, of the features of all valid boxes that cover it.

    A box covers columns ⌊x0·W/1000⌋ … ⌊x1·W/1000⌋ and rows ⌊y0·H/1000⌋ … ⌊y1·H/1000⌋, cut at the
    grid, in float32 arithmetic. Computed in at least float32 under autocast; deterministic, as are
    the gradients.

    Args:
        text_features: B×T×C.
        boxes: B×T×4, x0 y0 x1 y1 on the 0..1000 grid.
        valid: B×T bool.
        reduce: `sum` or `mean`.

    Returns:
        B×C×H×W, at least float32; 0 where no box is.
    """
    with torch.autocast(text_features.device.type, enabled=False):
        text = text_features.to(torch.promote_types(text_features.dtype, torch.float32))
        rows, columns = coverage(boxes, valid, height, width)
        text = text.masked_fill(~valid.unsqueeze(-1), 0.0)
        cells = (rows.unsqueeze(3) & columns.unsqueeze(2)).flatten(2)  # B×T×HW
        painted = torch.bmm(text.transpose(1, 2), cells.to(text.dtype))  # B×C×HW
        painted = painted.unflatten(2, (height, width))
        if reduce == "mean":
            painted = painted / _count(boxes, valid, height, width).clamp(min=1).unsqueeze(1)
    return painted
