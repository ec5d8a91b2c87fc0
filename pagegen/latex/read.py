"""Regions of a page of a typeset paper, read back by the codes in its colours.

Boxes are x0 y0 x1 y1, y down, in points. While the page is read a letter's box has two numbers
more: the top and the bottom of its line, as high as its type.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pypdfium2.raw as raw

from pagegen.latex.words import BASES
from pagegen.marks import RegionMark, code_of
from pagegen.truth import hull

GAP = 0.1
"""Of the page's width: words on a line further apart are two regions (an equation's number)."""
REACH = 12.0
"""Points: how far from its region a mark without a code may stand."""
ABOVE, BELOW = 0.86, 0.22
"""Of the type size: how far a line reaches above and below its base line, as in data sets."""
Box = tuple[float, float, float, float, float, float]
_HIGH = {tuple(c & 0xF0 for c in base) for base in BASES}


class Unclear(Exception):
    """A page whose regions cannot be told; it is left out."""


Found = tuple[str, np.ndarray]
"""Category and the boxes N×4 of what it holds."""


def regions_of(page: Any, marks: list[RegionMark | None], columns: int) -> list[Found]:
    """The regions of a PDF's page that has ``columns`` columns (1 or 2), in points.

    Raises:
        Unclear: words without a code stand within the body.
    """
    width, height = page.get_size()
    ink = _ink(page, height, len(marks))
    figures = [
        box
        for code, boxes in ink.items()
        if (mark := marks[code - 1]) and mark.category == "Figure"
        for box in boxes
    ]
    letters = _letters(page, height, len(marks), figures)
    found: list[Found] = []
    # The gutter shows where the running text has none.
    flowing = [
        np.array(own)
        for code, own in letters.items()
        if code and (mark := marks[code - 1]) and mark.flows
    ]
    gutter = _gutter(flowing, width) if columns == 2 and flowing else width
    for code, mark in enumerate(marks, start=1):
        own = letters.get(code, [])
        drawn = ink.get(code, [])
        if mark is None or not (own or drawn):
            continue
        if mark.flows:
            parts = _fragments(np.array(own), gutter) if own else []
        else:
            parts = [np.array(own + drawn)]
        if mark.category == "Equation":
            formula, *numbers = _numbers(parts[0], width * GAP)
            parts = [formula, *map(_high, numbers)]
        elif mark.category not in ("Figure", "Table"):
            parts = [_high(part) for part in parts]
        found.extend((mark.category, part) for part in parts)
    if not found:
        raise Unclear("no region")
    top = min(part[:, 1].min() for _, part in found)
    bottom = max(part[:, 3].max() for _, part in found)
    loose = letters.get(0, [])
    for name, own in (
        ("Header", [b for b in loose if b[3] <= top + 1]),
        ("Footer", [b for b in loose if b[1] >= bottom - 1]),
    ):
        found.extend((name, _high(part)) for part in _runs(own, width * GAP))
    odd = [b for b in loose if b[3] > top + 1 and b[1] < bottom - 1]
    if odd:
        _absorb(odd, found)
    return [(name, part[:, :4]) for name, part in found]


def _high(boxes: np.ndarray) -> np.ndarray:
    """Boxes as high as their type."""
    low = np.minimum(boxes[:, 1], boxes[:, 4])
    high = np.maximum(boxes[:, 3], boxes[:, 5])
    return np.stack([boxes[:, 0], low, boxes[:, 2], high, low, high], axis=1)


def _absorb(loose: list[Box], found: list[Found]) -> None:
    """Give marks of footnotes and of authors to the region that they stand at.

    Raises:
        Unclear: there is none.
    """
    order = np.array(loose)
    order = order[np.argsort(order[:, 5])]
    runs = []
    for line in np.split(order, np.flatnonzero(np.diff(order[:, 5]) > 1) + 1):
        runs.extend(_parts(line, REACH))
    hulls = np.array([hull(part[:, :4]) for _, part in found])
    for run in runs:
        x0, y0, x1, y1 = hull(run[:, :4])
        dx = np.maximum(0, np.maximum(hulls[:, 0] - x1, x0 - hulls[:, 2]))
        dy = np.maximum(0, np.maximum(hulls[:, 1] - y1, y0 - hulls[:, 3]))
        best = int(np.argmin(dx + 3 * dy))
        if dx[best] > REACH or dy[best] > 3:
            raise Unclear(f"{len(run)} letters without a code at {x0:.0f}, {y0:.0f}")
        name, part = found[best]
        found[best] = (name, np.concatenate([part, run]))


def _letters(page: Any, height: float, known: int, figures: list[Box]) -> dict[int, list[Box]]:
    """Boxes of the letters of each code in the file's order, without those in figures."""
    textpage = page.get_textpage()
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    left, right, low, high = (ctypes.c_double() for _ in range(4))
    across, base = ctypes.c_double(), ctypes.c_double()
    origin = [ctypes.byref(across), ctypes.byref(base)]
    ink = [ctypes.byref(value) for value in (red, green, blue, alpha)]
    corners = [ctypes.byref(value) for value in (left, right, low, high)]
    found: dict[int, list[Box]] = {}
    for i in range(raw.FPDFText_CountChars(textpage)):
        if raw.FPDFText_IsGenerated(textpage, i) == 1:
            continue
        raw.FPDFText_GetCharBox(textpage, i, *corners)
        x0, y0, x1, y1 = left.value, height - high.value, right.value, height - low.value
        if x1 <= x0 or y1 <= y0:
            continue
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        if any(f[0] <= x <= f[2] and f[1] <= y <= f[3] for f in figures):
            continue
        raw.FPDFText_GetFillColor(textpage, i, *ink)
        code = _code(red.value, green.value, blue.value, known)
        raw.FPDFText_GetCharOrigin(textpage, i, *origin)
        size, line = raw.FPDFText_GetFontSize(textpage, i), height - base.value
        found.setdefault(code, []).append(
            (x0, y0, x1, y1, line - ABOVE * size, line + BELOW * size)
        )
    textpage.close()
    return found


def _code(red: int, green: int, blue: int, known: int) -> int:
    if (red & 0xF0, green & 0xF0, blue & 0xF0) not in _HIGH:
        return 0
    code = code_of(red, green, blue)
    return code if code <= known else 0


def _ink(page: Any, height: float, known: int) -> dict[int, list[Box]]:
    """Boxes of the rules and of the pictures' sheets of each code."""
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    refs = [ctypes.byref(value) for value in (red, green, blue, alpha)]
    found: dict[int, list[Box]] = {}
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH], max_depth=1):
        raw.FPDFPageObj_GetFillColor(item, *refs)
        code = _code(red.value, green.value, blue.value, known)
        if code:
            x0, y0, x1, y1 = item.get_bounds()
            top, bottom = height - y1, height - y0
            found.setdefault(code, []).append((x0, top, x1, bottom, top, bottom))
    return found


def _gutter(texts: list[np.ndarray], width: float) -> float:
    """Where two columns part: x near the middle that fewest letters cross."""
    letters = np.concatenate(texts)
    places = width * np.linspace(0.42, 0.58, 97)
    crossed = ((letters[:, :1] < places + 2) & (letters[:, 2:3] > places - 2)).sum(axis=0)
    best = np.flatnonzero(crossed == crossed.min())
    return float(places[best[np.argmin(abs(best - 48))]])


def _fragments(boxes: np.ndarray, gutter: float) -> list[np.ndarray]:
    """A region's letters in the left and in the right column; those of a wide region together."""
    if ((boxes[:, 0] < gutter + 1) & (boxes[:, 2] > gutter - 1)).any():
        return [boxes]
    left = boxes[:, 2] < gutter
    return [part for part in (boxes[left], boxes[~left]) if len(part)]


def _numbers(boxes: np.ndarray, gap: float) -> list[np.ndarray]:
    """A formula, and its numbers where they stand far from it."""
    parts = _parts(boxes, gap)
    # Numbers are few letters at one edge.
    for number, formula in ((parts[-1], parts[:-1]), (parts[0], parts[1:])):
        if formula and number[:, 2].max() - number[:, 0].min() < 0.8 * gap:
            return [np.concatenate(formula), *_stacks(number)]
    return [boxes]


def _stacks(boxes: np.ndarray) -> list[np.ndarray]:
    """Boxes above each other, cut where more than the highest's height lies between."""
    order = boxes[np.argsort(boxes[:, 1])]
    reach = np.maximum.accumulate(order[:, 3])
    size = float((boxes[:, 3] - boxes[:, 1]).max())
    return list(np.split(order, np.flatnonzero(order[1:, 1] - reach[:-1] > size) + 1))


def _runs(boxes: list[Box], gap: float) -> list[np.ndarray]:
    """Lines of a header or footer, each cut where a wide gap stands."""
    if not boxes:
        return []
    return [run for stack in _stacks(np.array(boxes)) for run in _parts(stack, gap)]


def _parts(boxes: np.ndarray, gap: float) -> list[np.ndarray]:
    """Boxes beside each other, cut where a gap lies between."""
    order = boxes[np.argsort(boxes[:, 0])]
    reach = np.maximum.accumulate(order[:, 2])
    return list(np.split(order, np.flatnonzero(order[1:, 0] - reach[:-1] > gap) + 1))
