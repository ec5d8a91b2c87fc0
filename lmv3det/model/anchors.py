"""Anchors: the boxes that the RPN's deltas are relative to.

Faster R-CNN: Ren et al., 2015, https://arxiv.org/abs/1506.01497, section 3.1.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def cell_anchors(sizes: float | Sequence[float], aspect_ratios: Sequence[float]) -> Tensor:
    """Anchors around the origin: A×4 float32, area size², one for each size and, within a size,
    for each height/width ratio."""
    boxes = []
    for size in sizes if isinstance(sizes, Sequence) else [sizes]:
        for ratio in aspect_ratios:
            width = math.sqrt(size**2 / ratio)
            height = ratio * width
            boxes.append([-width / 2, -height / 2, width / 2, height / 2])
    return torch.tensor(boxes, dtype=torch.float64, device="cpu").float()


def grid_anchors(cell: Tensor, grid: tuple[int, int], stride: int) -> Tensor:
    """The cell's anchors at the top-left of every cell of an H×W grid.

    Args:
        cell: A×4 float.

    Returns:
        (H·W·A)×4 in the cell's dtype, pixels; row, column, then anchor.
    """
    y, x = (torch.arange(0, n * stride, stride, dtype=cell.dtype, device=cell.device) for n in grid)
    y, x = torch.meshgrid(y, x, indexing="ij")  # H×W
    shifts = torch.stack([x, y, x, y], dim=-1)  # H×W×4
    return (shifts[:, :, None] + cell).flatten(0, 2)
