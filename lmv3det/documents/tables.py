"""Tables from the text and the ruling lines within a region.

Where ruling lines make a grid, its cells are those of the table, as in pdfplumber's "lines"
strategy (Singer-Vine et al.); a side that is missing between two of them makes one merged cell.
Elsewhere columns are told by the strips that few pieces of text cross, as in the "stream" method of
Tabula (Nurminen, 2013, Algorithmic extraction of data in tables in PDF documents), and rows by base
lines.

Every piece of text that is given comes into one cell: nothing is left out.

Shapes: R rules, P pieces of text. Boxes are x0 y0 x1 y1, y downwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmv3det.documents.lines import (
    Box,
    Line,
    Span,
    enclosing,
    merge_spans,
    spans_from_json,
    spans_to_json,
)

NEAR = 0.35
"""Line heights: ruling lines at most so far apart are one."""
COVERED = 0.6
"""Fraction of a cell's side that ruling lines must cover to be there."""
LEAST_GAP = 0.5
"""Line heights: a narrower strip without text is no gap between columns."""
CROSSED = 0.1
"""Fraction of the rows that may have text across a gap between columns: titles of groups."""
LONG = 4
"""Rows of a table from which on one of them may be such a title."""
FAR_ROW = 1.45
"""A row without a first cell is further from the one above by less than this many times the least
distance of rows, where it goes on with the text of that row."""


@dataclass
class Cell:
    """A cell of a table.

    Attributes:
        row: its first row, from 0.
        column: its first column, from 0.
        rows: how many it covers.
        columns: likewise.
        spans: its text.
        header: whether it names what stands below.
    """

    row: int
    column: int
    rows: int = 1
    columns: int = 1
    spans: list[Span] = field(default_factory=list)
    header: bool = False

    @property
    def text(self) -> str:
        """Its text without styles."""
        return "".join(span.text for span in self.spans)


@dataclass
class Table:
    """A table: every place of its grid belongs to one cell.

    Attributes:
        rows: how many.
        columns: likewise.
        cells: by row, then column.
    """

    rows: int
    columns: int
    cells: list[Cell]

    def grid(self) -> list[list[Cell | None]]:
        """rows×columns: each cell at its first place, None where one covers others."""
        places: list[list[Cell | None]] = [[None] * self.columns for _ in range(self.rows)]
        for cell in self.cells:
            places[cell.row][cell.column] = cell
        return places

    @property
    def merged(self) -> bool:
        """Whether a cell covers several places."""
        return any(cell.rows > 1 or cell.columns > 1 for cell in self.cells)


def find_table(box: Box, lines: Sequence[Line], rules: np.ndarray) -> Table | None:
    """The table in a region.

    Args:
        box: of the region.
        lines: those in it.
        rules: R×4, ruling lines of the page.

    Returns:
        None where the text does not make two columns.
    """
    pieces = [line for line in lines if line.text.strip()]
    if not pieces:
        return None
    height = float(np.median([piece.height for piece in pieces]))
    within = _rules_within(np.asarray(rules, dtype=np.float64).reshape(-1, 4), box, height)
    flat = within[:, 3] - within[:, 1] < 1e-6
    across, down = within[flat], within[~flat]
    table = _of_grid(pieces, across, down, height) or _of_strips(pieces, across, height)
    return table if table is not None and table.columns > 1 else None


def _rules_within(rules: np.ndarray, box: Box, slack: float) -> np.ndarray:
    """The parts of ruling lines that lie in a box, or at its sides."""
    x0, y0, x1, y1 = box
    low, high = np.array([x0, y0]) - slack, np.array([x1, y1]) + slack
    touching = (rules[:, :2] <= high).all(axis=1) & (rules[:, 2:] >= low).all(axis=1)
    return rules[touching].clip(np.tile(low, 2), np.tile(high, 2))


def _cluster(values: np.ndarray, reach: float) -> np.ndarray:
    """The means of values that lie near one another, from the least."""
    if not len(values):
        return values
    ordered = np.sort(values)
    groups = np.split(ordered, np.flatnonzero(np.diff(ordered) > reach) + 1)
    return np.array([group.mean() for group in groups])


def _of_grid(
    pieces: Sequence[Line], across: np.ndarray, down: np.ndarray, height: float
) -> Table | None:
    """The table of a grid of ruling lines; None where there is none that holds the text."""
    reach = NEAR * height
    xs, ys = _cluster(down[:, 0], reach), _cluster(across[:, 1], reach)
    # A column or row at the rim may have no rule outside.
    left = min(piece.box[0] for piece in pieces)
    right = max(piece.box[2] for piece in pieces)
    top, foot = min(p.box[1] for p in pieces), max(p.box[3] for p in pieces)
    if len(xs) < 2 or len(ys) < 2:
        return None
    xs = _with_rim(xs, left, right, height)
    ys = _with_rim(ys, top, foot, height)
    rows, columns = len(ys) - 1, len(xs) - 1
    if rows < 2 or columns < 2:
        return None
    # Sides between a cell and its right neighbour (rows×(columns-1)), and the one below.
    beside = np.array([[_is_covered(down, 0, xs[c + 1], ys[r], ys[r + 1], reach)
                        for c in range(columns - 1)] for r in range(rows)])  # fmt: skip
    below = np.array([[_is_covered(across, 1, ys[r + 1], xs[c], xs[c + 1], reach)
                       for c in range(columns)] for r in range(rows - 1)])  # fmt: skip
    if beside.mean() < 0.5 or _torn(pieces, xs):
        return None
    cells = _merged_cells(rows, columns, beside, below)
    content: dict[int, list[Line]] = {}
    owner = {(r, c): k for k, cell in enumerate(cells)
             for r in range(cell.row, cell.row + cell.rows)
             for c in range(cell.column, cell.column + cell.columns)}  # fmt: skip
    for piece in _at_rules(pieces, xs):
        x, y = (piece.box[0] + piece.box[2]) / 2, (piece.box[1] + piece.box[3]) / 2
        r = int(np.clip(np.searchsorted(ys, y) - 1, 0, rows - 1))
        c = int(np.clip(np.searchsorted(xs, x) - 1, 0, columns - 1))
        content.setdefault(owner[r, c], []).append(piece)
    if sum(map(len, content.values())) > 4 and len(content) < 2:
        return None
    if max(_rows_of(own) for own in content.values()) > 6 and rows <= 3:
        return None  # a frame round columns of text
    header = _header_rows(cells, content)
    for number, cell in enumerate(cells):
        cell.spans, cell.header = cell_text(content.get(number, [])), cell.row < header
    return _trimmed(_with_lines_apart(Table(rows, columns, cells), content, height))


def _with_lines_apart(table: Table, content: dict[int, list[Line]], height: float) -> Table:
    """A table whose rows are divided in which values stand below one another without a rule
    between: two or more cells of equally many short lines, half of them with digits, and no
    other number of lines but one. A cell of one line then covers all of them.

    Args:
        table: of a grid of ruling lines.
        content: number of a cell → its lines.
        height: of a line.
    """
    stacked = {number: _rows(own, height) for number, own in content.items()}
    parts = {}  # row → how many rows it becomes
    for row in range(table.rows):
        own = [stacked[k] for k, c in enumerate(table.cells) if c.row == row and k in stacked]
        tall = [lines for lines in own if len(lines) > 1]
        whole = all(c.row == row and c.rows == 1 for c in table.cells
                    if c.row <= row < c.row + c.rows and c.spans)  # fmt: skip
        counts = {len(lines) for lines in tall}
        texts = [" ".join(line.text for line in part) for lines in tall for part in lines]
        digits = sum(any(c.isdigit() for c in text) for text in texts)
        short = all(len(text.split()) <= 2 for text in texts)
        if whole and len(tall) > 1 and len(counts) == 1 and short and 2 * digits >= len(texts):
            parts[row] = counts.pop()
    starts = np.cumsum([0, *(parts.get(row, 1) for row in range(table.rows))]).tolist()
    cells = []
    for number, cell in enumerate(table.cells):
        first, last = starts[cell.row], starts[cell.row + cell.rows]
        lines = stacked.get(number, [])
        if cell.row in parts and len(lines) == parts[cell.row]:
            cells += [
                Cell(first + k, cell.column, 1, cell.columns, cell_text(part), cell.header)
                for k, part in enumerate(lines)
            ]
        else:
            cells.append(Cell(first, cell.column, last - first, cell.columns, cell.spans,
                              cell.header))  # fmt: skip
    cells.sort(key=lambda cell: (cell.row, cell.column))
    return Table(starts[-1], table.columns, cells)


def _with_rim(places: np.ndarray, low: float, high: float, height: float) -> np.ndarray:
    before = [low - 0.5 * height] if low < places[0] - height else []
    after = [high + 0.5 * height] if high > places[-1] + height else []
    return np.concatenate([before, places, after])


def _is_covered(
    rules: np.ndarray, axis: int, place: float, start: float, stop: float, reach: float
) -> bool:
    """Whether ruling lines at a place (x for axis 0) cover most of the way from start to stop."""
    own = rules[np.abs(rules[:, axis] - place) <= reach]
    other = 1 - axis
    spans = np.sort(own[:, [other, other + 2]].clip(start, stop), axis=0)
    reached, length = start, 0.0
    for low, high in spans.tolist():
        length += max(high - max(low, reached), 0)
        reached = max(reached, high)
    return length >= COVERED * (stop - start)


def _torn(pieces: Sequence[Line], xs: np.ndarray) -> bool:
    """Whether ruling lines run through words, as those of a drawing do."""
    words = [w.box for p in pieces for w in p.words]
    if not words:
        return False
    boxes = np.array(words)
    inner = xs[1:-1]
    margin = 0.2 * (boxes[:, 2:3] - boxes[:, :1])
    torn = ((boxes[:, :1] + margin < inner) & (boxes[:, 2:3] - margin > inner)).any(axis=1)
    return bool(torn.mean() > 0.2)


def _at_rules(pieces: Sequence[Line], xs: np.ndarray) -> list[Line]:
    """Pieces of text, divided between words where a ruling line passes."""
    found = []
    for piece in pieces:
        centres = np.array([(word.box[0] + word.box[2]) / 2 for word in piece.words])
        columns = np.searchsorted(xs, centres)
        if len(set(columns.tolist())) < 2 or len(piece.words) != len(piece.text.split()):
            found.append(piece)
            continue
        starts = np.flatnonzero(np.diff(columns)) + 1
        for part in np.split(np.arange(len(piece.words)), starts):
            found.append(part_of_line(piece, int(part[0]), int(part[-1]) + 1))
    return found


def part_of_line(line: Line, start: int, stop: int) -> Line:
    """The words from `start` to before `stop` of a line, as a line."""
    words = line.words[start:stop]
    spans: list[Span] = []
    number, before = 0, True  # of the next word; whether a space was last
    for span in line.styled():
        for letter in span.text:
            if letter.isspace():
                number += not before
                before = True
                if start < number < stop:
                    spans.append(Span(" ", span.style))
                continue
            before = False
            if start <= number < stop:
                spans.append(Span(letter, span.style))
    text = " ".join(word.text for word in words)
    box = enclosing([word.box for word in words])
    return Line(text, box, line.size, merge_spans(spans), list(words))


def _merged_cells(rows: int, columns: int, beside: np.ndarray, below: np.ndarray) -> list[Cell]:
    """Rectangles of places with no side between them."""
    taken = np.zeros((rows, columns), dtype=bool)
    cells = []
    for r in range(rows):
        for c in range(columns):
            if taken[r, c]:
                continue
            width = 1
            while c + width < columns and not beside[r, c + width - 1] and not taken[r, c + width]:
                width += 1
            depth = 1
            while (
                r + depth < rows
                and not below[r + depth - 1, c : c + width].any()
                and not beside[r + depth, c : c + width - 1].any()
                and not taken[r + depth, c : c + width].any()
            ):
                depth += 1
            taken[r : r + depth, c : c + width] = True
            cells.append(Cell(r, c, depth, width))
    return cells


def _header_rows(cells: Sequence[Cell], content: dict[int, list[Line]]) -> int:
    """The rows that name columns: bold ones at the head, or the first one."""
    bold: dict[int, bool] = {}
    for number, cell in enumerate(cells):
        for line in content.get(number, []):
            bold[cell.row] = bold.get(cell.row, True) and line.bold
    count = 0
    while bold.get(count):
        count += 1
    first = max((c.row + c.rows for c in cells if c.row == 0), default=1)
    return max(count if count < len(bold) else 1, min(first, 2), 1)


def _trimmed(table: Table) -> Table | None:
    """A table without columns and rows in which nothing stands."""
    full = np.zeros((table.rows, table.columns), dtype=bool)
    for cell in table.cells:
        if cell.spans:
            full[cell.row, cell.column] = True
    kept = [r for r in range(table.rows) if full[r].any()]
    columns = [c for c in range(table.columns) if full[:, c].any()]
    if not kept or not columns:
        return None
    new_row = {r: k for k, r in enumerate(kept)}
    new_column = {c: k for k, c in enumerate(columns)}
    cells = []
    for cell in table.cells:
        rows = [r for r in kept if cell.row <= r < cell.row + cell.rows]
        own = [c for c in columns if cell.column <= c < cell.column + cell.columns]
        if rows and own:
            cells.append(Cell(new_row[rows[0]], new_column[own[0]], len(rows), len(own),
                              cell.spans, cell.header))  # fmt: skip
    return Table(len(kept), len(columns), cells)


def _rows_of(lines: Sequence[Line]) -> int:
    if not lines:
        return 0
    centres = np.array([(line.box[1] + line.box[3]) / 2 for line in lines])
    height = float(np.median([line.height for line in lines]))
    return len(_cluster(centres, 0.5 * height))


def _of_strips(pieces: Sequence[Line], across: np.ndarray, height: float) -> Table | None:
    """The table whose columns are told by strips without text."""
    rows = _rows(pieces, height)
    bounds = _column_bounds(rows, height)
    if not len(bounds):
        return None
    columns = len(bounds) + 1
    placed: list[
        dict[tuple[int, int], list[Line]]
    ] = []  # (first, last column) → pieces, a row each
    for row in rows:
        own: dict[tuple[int, int], list[Line]] = {}
        for piece in _at_bounds(row, bounds, height):
            first = int(np.searchsorted(bounds, piece.box[0] + 0.25 * height))
            last = int(np.searchsorted(bounds, piece.box[2] - 0.25 * height))
            own.setdefault((first, max(first, last)), []).append(piece)
        placed.append(_without_overlaps(own))
    placed, tops = _joined_rows(placed, rows, across)
    cells, filled = [], np.zeros((len(placed), columns), dtype=bool)
    header = _header_of_strips(placed, tops, across)
    for number, own in enumerate(placed):
        for (first, last), lines in sorted(own.items()):
            cells.append(
                Cell(number, first, 1, last - first + 1, cell_text(lines), number < header)
            )
            filled[number, first : last + 1] = True
    for r, c in np.argwhere(~filled).tolist():
        cells.append(Cell(r, c, header=r < header))
    cells.sort(key=lambda cell: (cell.row, cell.column))
    return Table(len(placed), columns, cells)


def _rows(pieces: Sequence[Line], height: float) -> list[list[Line]]:
    """Pieces by row, from the top, and in each from the left."""
    ordered = sorted(pieces, key=lambda piece: piece.box[1] + piece.box[3])
    rows: list[list[Line]] = []
    limit = -np.inf
    for piece in ordered:
        centre = (piece.box[1] + piece.box[3]) / 2
        if centre > limit:
            rows.append([])
            limit = centre + 0.5 * min(height, piece.height)
        rows[-1].append(piece)
    return [sorted(row, key=lambda piece: piece.box[0]) for row in rows]


def _column_bounds(rows: Sequence[Sequence[Line]], height: float) -> np.ndarray:
    """The x between neighbouring columns."""
    boxes = np.array([piece.box for row in rows for piece in row])
    edges = np.unique(boxes[:, [0, 2]])
    if len(edges) < 2:
        return np.zeros(0)
    middles = (edges[1:] + edges[:-1]) / 2
    covering = (boxes[:, :1] < middles) & (boxes[:, 2:3] > middles)  # P×E
    allowed = max(CROSSED * len(rows), 1 if len(rows) >= LONG else 0)
    free = covering.sum(axis=0) <= allowed
    bounds = []
    start = None
    for number, is_free in enumerate([*free.tolist(), False]):
        if is_free and start is None:
            start = number
        elif not is_free and start is not None:
            low, high = edges[start], edges[number]
            if high - low >= LEAST_GAP * height:
                bounds.append((low + high) / 2)
            start = None
    return _of_full_columns(np.array(bounds), boxes, 2 if len(rows) >= LONG else 1)


def _of_full_columns(bounds: np.ndarray, boxes: np.ndarray, least: int) -> np.ndarray:
    """Bounds without those that make a column of fewer than `least` pieces."""
    while len(bounds):
        edges = np.concatenate([[-np.inf], bounds, [np.inf]])
        inside = (boxes[:, :1] >= edges[:-1]) & (boxes[:, 2:3] <= edges[1:])  # P×columns
        few = np.flatnonzero(inside.sum(axis=0) < least)
        if not len(few):
            break
        # It goes to the column before it, the first one to that behind.
        bounds = np.delete(bounds, max(int(few[0]) - 1, 0))
    return bounds


def _at_bounds(row: Sequence[Line], bounds: np.ndarray, height: float) -> list[Line]:
    """The pieces of a row, those divided that have a wide gap at a column's bound."""
    found = []
    for piece in row:
        if len(piece.words) < 2 or len(piece.words) != len(piece.text.split()):
            found.append(piece)
            continue
        starts = [
            k
            for k in range(1, len(piece.words))
            if piece.words[k].box[0] - piece.words[k - 1].box[2] >= LEAST_GAP * height
            and ((bounds > piece.words[k - 1].box[2]) & (bounds < piece.words[k].box[0])).any()
        ]
        ends = [*starts, len(piece.words)]
        found += [part_of_line(piece, a, b) for a, b in zip([0, *starts], ends, strict=True)]
    return found


def _without_overlaps(
    own: dict[tuple[int, int], list[Line]],
) -> dict[tuple[int, int], list[Line]]:
    """A row's cells with those joined that cover the same columns."""
    found: dict[tuple[int, int], list[Line]] = {}
    for (first, last), lines in sorted(own.items()):
        before = next(reversed(found), None)
        if before is not None and first <= before[1]:
            joined = found.pop(before) + lines
            found[before[0], max(before[1], last)] = joined
        else:
            found[first, last] = list(lines)
    return found


def _joined_rows(
    placed: list[dict[tuple[int, int], list[Line]]],
    rows: Sequence[Sequence[Line]],
    across: np.ndarray,
) -> tuple[list[dict[tuple[int, int], list[Line]]], list[float]]:
    """Rows with those joined that go on with the text of the one above, and the top of each."""
    tops = [min(piece.box[1] for piece in row) for row in rows]
    steps = np.diff(tops)
    least = float(steps.min()) if len(steps) else 0.0
    ruled = [bool(((across[:, 1] > a) & (across[:, 1] <= b + 0.3 * least)).any())
             for a, b in itertools.pairwise(tops)]  # fmt: skip
    all_ruled = len(ruled) > 2 and sum(ruled) >= 0.4 * len(ruled)
    spread = bool(len(steps)) and float(np.median(steps)) > FAR_ROW * least
    joined: list[dict[tuple[int, int], list[Line]]] = []
    kept: list[float] = []
    for number, own in enumerate(placed):
        goes_on = False
        if joined and not ruled[number - 1]:
            first_empty = all(first > 0 for first, _ in own)
            near = steps[number - 1] < FAR_ROW * least
            fits = all(key in joined[-1] for key in own)
            goes_on = all_ruled or (first_empty and near and fits and (spread or len(own) == 1))
        if goes_on:
            merged = dict(joined[-1])
            for key, lines in own.items():
                merged[key] = merged.get(key, []) + lines
            joined[-1] = _without_overlaps(merged)
        else:
            joined.append(own)
            kept.append(tops[number])
    return joined, kept


def _header_of_strips(
    placed: Sequence[dict[tuple[int, int], list[Line]]], tops: Sequence[float], across: np.ndarray
) -> int:
    """How many rows name columns: those above the first ruling line between rows, where it leaves
    at most a third of them, or bold ones; at least one."""
    if len(placed) < 2:
        return 0
    for number in range(1, max(len(placed) // 3, 1) + 1):
        low, high = tops[number - 1], tops[number]
        if ((across[:, 1] > low) & (across[:, 1] <= high)).any():
            return number
    count = 0
    for own in placed:
        if not all(line.bold for lines in own.values() for line in lines):
            break
        count += 1
    return count if 0 < count < len(placed) else 1


def cell_text(lines: Sequence[Line]) -> list[Span]:
    """The text of a cell, its lines in rows from the top joined by spaces."""
    if not lines:
        return []
    height = float(np.median([line.height for line in lines]))
    spans: list[Span] = []
    for row in _rows(lines, height):
        for line in row:
            if spans:
                spans.append(Span(" ", spans[-1].style))
            spans += line.styled()
    return merge_spans(spans)


def table_to_json(table: Table) -> dict[str, Any]:
    """A table as JSON holds it."""
    cells = [
        [c.row, c.column, c.rows, c.columns, spans_to_json(c.spans), c.header] for c in table.cells
    ]
    return {"rows": table.rows, "columns": table.columns, "cells": cells}


def table_from_json(entry: dict[str, Any]) -> Table:
    """The table of `table_to_json`."""
    cells = [
        Cell(row, column, rows, columns, spans_from_json(spans), header)
        for row, column, rows, columns, spans, header in entry["cells"]
    ]
    return Table(entry["rows"], entry["columns"], cells)
