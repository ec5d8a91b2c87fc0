"""The order in which a page's text lines are read.

Pure functions over boxes. Rows are told apart by the vertical centres of the lines, columns by
how much text covers each x: a page set in two columns has a valley there, its gutter, where only
spanning lines (titles, wide captions, running heads) cross.

Shapes: L lines, N bins of the histogram. Boxes are x0 y0 x1 y1 in any unit; every decision is
relative to the lines' own sizes, so that a scaled or moved page is read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

ReadingOrder = Literal["as_is", "two_column", "auto"]
Direction = Literal["right", "left", "columns", "sideways"]
"""How a script runs: rows from the left (Latin, modern Chinese), rows from the right (Hebrew,
Arabic), columns downwards from the right (vertical Chinese and Japanese), and rows of a page that
lies on its side, upwards, the first one at the left."""

TALL = 1.5
"""A line that is taller than this many times its width runs downwards or upwards."""
BINS = 200
"""Bins of the histogram over the page's text width."""
WIDE = 0.6
"""A line wider than this fraction of the text width cannot be in one of two columns."""
GUTTER_RANGE = (0.35, 0.65)
"""Where a gutter is looked for, as fractions of the text width."""
GUTTER_DEPTH = 0.4
"""The max text across a gutter, as a fraction of the thinner column's."""
COLUMN_TEXT = 0.2
"""The min text of a column, as a fraction of the text of wide lines."""


def reading_order(
    boxes: np.ndarray,
    page_width: float,
    mode: ReadingOrder = "auto",
    direction: Direction = "right",
) -> np.ndarray:
    """Indices that put the lines of a page into reading order.

    `as_is` keeps the order given. `two_column` reads the left half of the page from top to
    bottom, then the right half; lines across the middle are read where they stand and split the
    page into bands. `auto` does the same around the gutter that the page shows, and reads row by
    row where it shows none. Lines of one row are read in the direction
    of the script. Takes O(L log L);
    what comes out depends on the boxes alone, and equal boxes keep their order.

    Args:
        boxes: L×4 lines, x0 y0 x1 y1.
        page_width: width of the page in the same unit (used by `two_column` only).
        mode: how to order.
        direction: how the script runs, see `text_direction`.

    Returns:
        A permutation of 0 … L-1, int64 L: `boxes[reading_order(boxes, width)]` is in order.

    Raises:
        ValueError: boxes of another shape, or an unknown mode.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros(0, dtype=np.int64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes have the shape {boxes.shape}; it must be L×4")
    if mode == "as_is":
        return np.arange(len(boxes), dtype=np.int64)
    boxes, middle = in_direction(boxes, direction), page_width / 2
    if mode == "two_column":
        if direction == "left":
            middle = -middle
        elif direction != "right":
            middle = float(boxes[:, [0, 2]].min() + boxes[:, [0, 2]].max()) / 2
        return _columns(boxes, middle, page_width / 2)
    if mode == "auto":
        gutter = find_gutter(boxes)
        if gutter is None:
            return _rows(boxes, np.zeros(len(boxes)))
        return _columns(boxes, gutter, float(np.ptp(boxes[:, [0, 2]])) / 2)
    raise ValueError(f"reading order is {mode!r}; it must be as_is, two_column or auto")


def row_order(boxes: np.ndarray, direction: Direction = "right") -> np.ndarray:
    """Indices that put lines into the order of rows, whatever columns they show.

    Args:
        boxes: L×4 lines, x0 y0 x1 y1.
        direction: how the script runs.

    Returns:
        A permutation of 0 … L-1, int64 L.
    """
    boxes = in_direction(boxes, direction)
    return _rows(boxes, np.zeros(len(boxes))) if len(boxes) else np.zeros(0, dtype=np.int64)


def in_direction(boxes: np.ndarray, direction: Direction) -> np.ndarray:
    """Boxes turned or mirrored so that what is read first lies at the upper left.

    Args:
        boxes: L×4, x0 y0 x1 y1.
        direction: how the script runs.
    """
    x0, y0, x1, y1 = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    if direction == "left":
        x0, x1 = -x1, -x0
    elif direction == "columns":
        x0, y0, x1, y1 = y0, -x1, y1, -x0
    elif direction == "sideways":
        x0, y0, x1, y1 = -y1, x0, -y0, x1
    return np.stack([x0, y0, x1, y1], axis=1)


def text_direction(lines: Sequence[str], boxes: np.ndarray) -> Direction:
    """How the script of most of a page's text runs.

    Tall lines of Chinese or Japanese are columns from the right. Other tall lines are those of a
    page on its side; such a page is turned to the right as often as to the left, and the lines,
    in the order given, say to which.

    Args:
        lines: L strings.
        boxes: L×4, x0 y0 x1 y1.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    letters = np.array([sum(char.isalnum() for char in line) for line in lines], dtype=np.float64)
    if not letters.sum():
        return "right"
    sizes = boxes[:, 2:] - boxes[:, :2]
    tall = (sizes[:, 1] > TALL * sizes[:, 0]) & (letters > 1)
    if 2 * letters[tall].sum() > letters.sum():
        wide = sum(_count(lines[k], _WIDE) for k in np.flatnonzero(tall).tolist())
        if 2 * wide > letters[tall].sum():
            return "columns"
        steps = np.diff(boxes[tall][:, [0, 2]].mean(axis=1))
        return "columns" if (steps < 0).sum() > (steps > 0).sum() else "sideways"
    leftwards = sum(_count(line, _LEFTWARDS) for line in lines)
    return "left" if 2 * leftwards > letters.sum() else "right"


def _count(line: str, letters: re.Pattern[str]) -> int:
    return sum(map(len, letters.findall(line)))


_LEFTWARDS = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff]+")
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]+")


def find_gutter(boxes: np.ndarray) -> float | None:
    """The x of the gutter of a page in two columns, or None for a page in one.

    The histogram holds, for each x, the height of text that covers it, wide lines left out (they
    are above or below columns, and are most of the text of a page in one). A gutter is its
    lowest place near the middle, if both sides are columns: covered by far more text than the
    gutter, and by enough text compared with that of the wide lines.

    Args:
        boxes: L×4 lines, x0 y0 x1 y1.
    """
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    upright = (heights <= 2 * widths) & (widths > 0)  # no rotated stamps at the margin
    if upright.sum() < 2:
        return None
    boxes, widths, heights = boxes[upright], widths[upright], heights[upright]
    heights = np.minimum(heights, 1.5 * np.median(heights))  # a figure is not much text
    left, right = boxes[:, 0].min(), boxes[:, 2].max()
    extent = right - left
    wide = widths > WIDE * extent
    text = _histogram((boxes[~wide] - left) / extent, heights[~wide])
    low, high = (round(share * BINS) for share in GUTTER_RANGE)
    depth = text[low:high].min()
    # A page number in the gutter does not split it: a tenth of the usual text is still gutter.
    start, stop = _longest_run(text[low:high] <= depth + max(np.median(text) - depth, 0) / 10)
    start, stop = start + low, stop + low
    # The columns' bins, their ragged edges left out; what covers half of them counts as text.
    column = min(np.median(text[BINS // 20 : start]), np.median(text[stop : -BINS // 20]))
    if column <= 0 or depth > GUTTER_DEPTH * column:
        return None
    if column < COLUMN_TEXT * heights[wide].sum():
        return None
    return float(left + extent * (start + stop) / (2 * BINS))


def _histogram(boxes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """N: the summed weights of the boxes that cover each bin of x from 0 to 1."""
    steps = np.zeros(BINS + 1)
    first = np.clip(np.floor(boxes[:, 0] * BINS + 1e-6), 0, BINS).astype(np.int64)
    last = np.clip(np.ceil(boxes[:, 2] * BINS - 1e-6), 0, BINS).astype(np.int64)
    np.add.at(steps, first, weights)
    np.add.at(steps, last, -weights)
    return np.round(np.cumsum(steps)[:-1], 9)


def _longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Start and stop of the longest run of True, the one nearest the middle among equals."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    runs = edges.reshape(-1, 2)
    length = runs[:, 1] - runs[:, 0]
    off_centre = np.abs(runs.sum(axis=1) - len(flags))
    best = np.lexsort((off_centre, -length))[0]
    return int(runs[best, 0]), int(runs[best, 1])


def _columns(boxes: np.ndarray, middle: float, column_width: float) -> np.ndarray:
    """Order around a gutter: bands between spanning lines, in each the left, then the right."""
    x0, x1 = boxes[:, 0], boxes[:, 2]
    centres = (x0 + x1) / 2
    across = np.minimum(middle - x0, x1 - middle)
    spanning = (across >= 0.15 * column_width) | (
        (across > 0) & (np.abs(centres - middle) <= 0.1 * column_width)
    )
    side = (centres > middle).astype(np.int64)
    if not spanning.any():
        return _rows(boxes, side)
    # A spanning row is a band of its own (odd), what lies between two is a band too (even).
    y = (boxes[:, 1] + boxes[:, 3]) / 2
    row_y = np.sort(y[spanning])
    reach = 0.5 * np.median(boxes[:, 3] - boxes[:, 1])
    row_y = row_y[np.concatenate(([True], np.diff(row_y) > reach))]
    after = np.searchsorted(row_y, y, side="right")
    nearest = np.stack([row_y[np.maximum(after - 1, 0)], row_y[np.minimum(after, len(row_y) - 1)]])
    pick = np.abs(nearest - y).argmin(axis=0)
    in_row = spanning | (np.abs(nearest - y).min(axis=0) <= reach)
    row = np.searchsorted(row_y, nearest[pick, np.arange(len(y))])
    band = np.where(in_row, 2 * row + 1, 2 * after)
    return _rows(boxes, band * 2 + np.where(in_row, 0, side))


def _rows(boxes: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Order by group, then by row from the top, then from the left.

    A row holds the lines whose vertical centre is at most half a line below its first's.
    """
    y = (boxes[:, 1] + boxes[:, 3]) / 2
    height = boxes[:, 3] - boxes[:, 1]
    order = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 0], y, group))
    rows = np.empty(len(boxes), dtype=np.int64)
    current, row_group, limit = -1, None, 0.0
    columns = (order, group[order], y[order], height[order])
    for index, line_group, line_y, line_height in zip(*(c.tolist() for c in columns), strict=True):
        if line_group != row_group or line_y > limit:
            current, row_group, limit = current + 1, line_group, line_y + line_height / 2
        rows[index] = current
    return np.lexsort((boxes[:, 3], boxes[:, 2], y, boxes[:, 0], rows))
