"""The box-to-grid map: text features painted on the cells that their boxes cover.

The map is a product: coverage (0 or 1, cells × tokens) times text features (tokens × channels). A
text line covers few rows, so the grid is cut into bands of rows and each band is multiplied with
the tokens that touch it alone: the time is then about that of writing the map once.

Shapes: B batch, T text tokens, C channels, H×W cells, N bands of R = H/N rows, A tokens of a band
at most.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lmv3det.model.precision import at_least_float32


def cell_ranges(boxes: Tensor, height: int, width: int) -> Tensor:
    """First column, first row, last column and last row that each box covers, both ends included.

    Args:
        boxes: …×4, x0 y0 x1 y1 on the 0..1000 grid, integers or floats.

    Returns:
        …×4 int64: ⌊x / 1000 · W⌋ for columns and ⌊y / 1000 · H⌋ for rows, in float32, the last ones
        cut at the grid. A box that starts at 1000 or beyond has no cell: its first is W or H.
    """
    fraction = boxes.float() / 1000
    x = (fraction[..., 0::2] * width).long()  # …×2
    y = (fraction[..., 1::2] * height).long()
    first = torch.stack([x[..., 0], y[..., 0]], dim=-1).clamp(min=0)
    last = torch.stack([x[..., 1].clamp(max=width - 1), y[..., 1].clamp(max=height - 1)], dim=-1)
    return torch.cat([first, last], dim=-1)


def count_boxes(boxes: Tensor, valid: Tensor, height: int, width: int) -> Tensor:
    """How many valid boxes cover each cell: B×1×H×W float32 (exact below 2**24).

    Args:
        boxes: B×T×4 on the 0..1000 grid.
        valid: B×T bool.
    """
    x0, y0, x1, y1 = cell_ranges(boxes, height, width).unsqueeze(2).unbind(-1)  # B×T×1 each
    row = torch.arange(height, device=boxes.device)
    column = torch.arange(width, device=boxes.device)
    rows = (row >= y0) & (row <= y1) & valid.unsqueeze(2)  # B×T×H
    columns = (column >= x0) & (column <= x1)  # B×T×W
    with torch.autocast(boxes.device.type, enabled=False):
        return torch.bmm(rows.transpose(1, 2).float(), columns.float()).unsqueeze(1)


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
    grid, in float32 arithmetic; a box that starts at 1000, or whose corners are in the wrong order,
    covers nothing.
    Deterministic, as are the gradients; no host synchronisation on a GPU.

    Args:
        text_features: B×T×C float; half precision, and any type under autocast, is widened to
            float32 at least.
        boxes: B×T×4, x0 y0 x1 y1 on the 0..1000 grid, integers or floats.
        valid: B×T bool; other tokens are not read.
        height: H, rows of the grid.
        width: W, its columns.
        reduce: `sum` or `mean`.

    Returns:
        B×C×H×W in channels-last layout, at least float32; exactly 0 where no box is.

    Raises:
        ValueError: `reduce` is another word.
    """
    if reduce not in ("sum", "mean"):
        raise ValueError(f"reduce is {reduce!r}; it must be 'sum' or 'mean'")
    text = at_least_float32(text_features)
    text = text.masked_fill(~valid.unsqueeze(-1), 0.0)
    batch, length, channels = text.shape
    token, cells = _bands(cell_ranges(boxes, height, width), valid, height, width)
    batch_index = torch.arange(batch, device=token.device)[:, None, None]
    chosen = (batch_index * length + token).flatten()  # B·N·A rows of the flattened text
    # index_select, whose gradient is one index_add: in order on a CPU, and on a GPU, where a page
    # is a single band, with one term for each token.
    of_band = text.flatten(0, 1).index_select(0, chosen).view(*cells.shape[:2], channels)
    with torch.autocast(text.device.type, enabled=False):
        painted = torch.bmm(cells.to(text.dtype).transpose(1, 2), of_band)  # B·N × R·W × C
    painted = painted.view(batch, height, width, channels).permute(0, 3, 1, 2)
    if reduce == "mean":
        painted = painted / count_boxes(boxes, valid, height, width).clamp(min=1)
    return painted


def _on_host(tensor: Tensor) -> bool:
    """Whether a number may be read from a tensor without waiting, or ending a graph."""
    in_graph = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return tensor.device.type == "cpu" and not in_graph


def _bands(ranges: Tensor, valid: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The tokens of each band, B×N×A int64, and the cells they cover there, B·N × A × R·W bool.

    Bands with fewer than A tokens are filled up with tokens that cover nothing.
    """
    on_host = _on_host(ranges)
    # A page's height is a multiple of 32 pixels, so that the maps have 8k, 4k, 2k or k rows. Off
    # the host, where to read A would wait for the device, a page is a single band of all tokens.
    size = math.gcd(height, 8) if on_host else height  # R
    x0, y0, x1, y1 = ranges.unsqueeze(1).unbind(-1)  # B×1×T each
    top = torch.arange(0, height, size, device=ranges.device).unsqueeze(1)  # N×1
    touched = valid.unsqueeze(1) & (y1 >= top) & (y0 < top + size) & (y1 >= y0) & (x1 >= x0)
    if on_host:
        length = int(touched.sum(-1).amax())  # A
        token = touched.byte().argsort(dim=-1, descending=True, stable=True)[..., :length]  # B×N×A
    else:
        token = torch.ones_like(touched, dtype=torch.int64).cumsum(-1) - 1  # B×1×T, all of them

    def pick(values: Tensor) -> Tensor:
        return values.expand(touched.shape).gather(2, token).unsqueeze(-1)  # B×N×A×1

    row = top.unsqueeze(-1) + torch.arange(size, device=ranges.device)  # N×1×R
    column = torch.arange(width, device=ranges.device)  # W
    rows = (row >= pick(y0)) & (row <= pick(y1)) & pick(touched)  # B×N×A×R
    columns = (column >= pick(x0)) & (column <= pick(x1))  # B×N×A×W
    cells = rows.unsqueeze(-1) & columns.unsqueeze(-2)  # B×N×A×R×W
    return token, cells.flatten(0, 1).flatten(2)
