"""The regions of a page in reading order, and the text lines in each of them.

The page is cut along empty strips, as in the recursive XY cut (Nagy & Seth, 1984, Hierarchical
representation of optically scanned documents), with bands joined again where the columns go on.

Shapes: N regions, L lines. Boxes are x0 y0 x1 y1 in any unit, y downwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lmv3det.text.reading_order import (
    Direction,
    find_gutter,
    in_direction,
    reading_order,
    row_order,
    text_direction,
)

SLACK, MAX_SLACK = 0.075, 0.015
"""Detected boxes overlap a little: where cuts are looked for, each side is moved inwards by the
first fraction of the box, but at most by the second fraction of what all boxes cover."""

FULL, RAGGED = 0.85, 0.4
"""In two columns of a region, a line is full that takes the first fraction of its column; where
less than the second fraction of the lines are, rows are read across."""


def region_order(boxes: np.ndarray, direction: Direction = "right") -> np.ndarray:
    """Indices that put regions into reading order.

    A set of regions that a vertical strip divides is read column by column. Another one is divided
    by its horizontal strips into bands, from the top; neighbouring bands whose columns go on are
    one, so that columns are not read across. Regions that nothing divides are read from the top.

    Args:
        boxes: N×4.
        direction: how the script runs: columns of a page in Hebrew are read from the right.

    Returns:
        A permutation of 0 … N-1, int64.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if not len(boxes):
        return np.zeros(0, dtype=np.int64)
    boxes = in_direction(boxes, direction)
    extent = boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)
    margin = np.minimum((boxes[:, 2:] - boxes[:, :2]) * SLACK, extent * MAX_SLACK)
    inner = np.concatenate([boxes[:, :2] + margin, boxes[:, 2:] - margin], axis=1)
    return np.array(_order(inner, np.arange(len(boxes))), dtype=np.int64)


def _order(boxes: np.ndarray, members: np.ndarray) -> list[int]:
    """`members` (indices into `boxes`) in reading order."""
    if len(members) < 2:
        return members.tolist()
    columns = _divide(boxes[members], 0)
    if len(columns) > 1:
        return [n for column in columns for n in _order(boxes, members[column])]
    bands = _join_bands(boxes[members], _divide(boxes[members], 1))
    if len(bands) > 1:
        return [n for band in bands for n in _order(boxes, members[band])]
    x, y = boxes[members, 0], boxes[members, 1]
    return members[np.lexsort((x, y))].tolist()


def _divide(boxes: np.ndarray, axis: int) -> list[np.ndarray]:
    """Groups of boxes between the empty strips across an axis (0: x), in its direction."""
    order = np.argsort(boxes[:, axis], kind="stable")
    reach = np.maximum.accumulate(boxes[order, axis + 2])
    starts = np.flatnonzero(boxes[order[1:], axis] >= reach[:-1]) + 1
    return np.split(order, starts)


def _join_bands(boxes: np.ndarray, bands: list[np.ndarray]) -> list[np.ndarray]:
    """Bands with the next ones as long as all of them together show the columns of one of them:
    a page number between two columns makes three."""
    joined = [bands[0]]
    for band in bands[1:]:
        both = np.concatenate([joined[-1], band])
        apart = max(len(_divide(boxes[part], 0)) for part in (joined[-1], band))
        if 1 < len(_divide(boxes[both], 0)) <= apart:
            joined[-1] = both
        else:
            joined.append(band)
    return joined


def lines_of_regions(
    regions: np.ndarray, lines: np.ndarray, texts: Sequence[str] | None = None
) -> list[list[int]]:
    """The lines that lie in each region, in reading order.

    A line belongs to the region that holds most of it, and at least half; of several that hold it
    whole, to the smallest.

    Args:
        regions: N×4.
        lines: L×4, in the same pixels.
        texts: the L strings, whose script says how each region is read; None: from the left.

    Returns:
        N lists of line indices; a line is in one of them at most.
    """
    regions = np.asarray(regions, dtype=np.float64).reshape(-1, 4)
    lines = np.asarray(lines, dtype=np.float64).reshape(-1, 4)
    if not len(regions) or not len(lines):
        return [[] for _ in regions]
    low = np.maximum(lines[:, None, :2], regions[None, :, :2])  # L×N×2
    high = np.minimum(lines[:, None, 2:], regions[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area = (lines[:, 2:] - lines[:, :2]).prod(axis=1).clip(min=1e-9)
    fraction = (shared / area[:, None]).round(2)
    size = (regions[:, 2:] - regions[:, :2]).prod(axis=1)
    best = np.lexsort((np.broadcast_to(size, fraction.shape), -fraction), axis=1)[:, 0]  # L
    held = fraction[np.arange(len(lines)), best] >= 0.5
    found = []
    for region in range(len(regions)):
        members = np.flatnonzero(held & (best == region))
        own = lines[members]
        direction: Direction = "right"
        if texts is not None:
            direction = text_direction([texts[k] for k in members.tolist()], own)
        width = float(regions[region, 2] - regions[region, 0])
        if _is_ragged(own, direction):
            order = row_order(own, direction)
        else:
            order = reading_order(own, width, direction=direction)
        found.append(members[order].tolist())
    return found


def _is_ragged(lines: np.ndarray, direction: Direction) -> bool:
    """Whether what looks like two columns are terms with what they mean, row by row: lines of
    running text would fill the first column."""
    turned = in_direction(lines, direction)
    gutter = find_gutter(turned) if len(turned) else None
    if gutter is None:
        return False
    first = turned[(turned[:, 0] + turned[:, 2]) / 2 < gutter]
    if not len(first):
        return False
    left, right = first[:, 0].min(), first[:, 2].max()
    full = first[:, 2] - left >= FULL * (right - left)
    return bool(full.mean() < RAGGED)
