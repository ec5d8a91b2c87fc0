"""Regions and lines from what the browser says of a page.

Boxes are x0 y0 x1 y1 in pixels of the rendered page, y down.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
ABOVE, BELOW = 0.86, 0.22
"""A line of words reaches so far above and below its base line, in its type size, as in the
pages of papers."""
WHOLE = {"Figure", "Table", "Form"}
"""Regions whose box is what is drawn and written, and which are never cut in fragments."""


@dataclass
class Line:
    """A line of words.

    Attributes:
        text: its words.
        box: around the ink of its letters.
        base: y of the base line.
        size: type size.
        turned: written upwards or downwards.
    """

    text: str
    box: tuple[float, float, float, float]
    base: float
    size: float
    turned: bool


@dataclass
class Region:
    """A region, or its fragment in one column.

    Attributes:
        category: a fine class.
        boxes: N×4 float, the boxes of its lines, rules and pictures.
        lines: its lines of words, in reading order.
        ink: its box is to be cut at its ink, see `cut_at_ink`.
    """

    category: str
    boxes: np.ndarray
    lines: list[Line] = field(default_factory=list)
    ink: bool = False

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The box around all that it covers."""
        x0, y0 = self.boxes[:, :2].min(axis=0)
        x1, y1 = self.boxes[:, 2:].max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


def regions_of(page: dict[str, Any], scale: float) -> list[Region]:
    """The regions of a page; ``scale`` is pixels a CSS pixel."""
    found: list[Region] = []
    for entry in page["regions"]:
        lines = _lines(entry["words"], scale)
        if entry["c"] == "Equation" and len(lines) > 1:
            lines = [_whole(lines)]
        drawn = [np.array(box) * scale for box in entry["drawn"]]
        category = entry["c"]
        if entry["f"] == "joins" and lines and found:
            # An equation's number is part of it where it stands close, else its own region.
            box, last = lines[0].box, found[-1].box
            if max(box[0] - last[2], last[0] - box[2]) < 2 * lines[0].size:
                found[-1].boxes = np.concatenate([found[-1].boxes, np.array([box])])
                found[-1].lines.extend(lines)
                continue
        if category in WHOLE or category == "Equation" or entry["f"] == "one":
            boxes = [np.array(line.box) for line in lines] + drawn
            if category not in WHOLE and category != "Equation":
                boxes += [band(line) for line in lines]
            if boxes:
                found.append(Region(category, np.stack(boxes), lines, entry["ink"]))
            continue
        for part in _fragments(lines):
            boxes = [b for line in part for b in (np.array(line.box), band(line))]
            if drawn and part is not None:
                boxes += drawn
            found.append(Region(category, np.stack(boxes), part))
    return found


def cut_at_ink(region: Region, image: np.ndarray) -> None:
    """Cut a drawing's or formula's box at what differs from its ground; image is H×W×3."""
    x0, y0, x1, y1 = region.box
    reach = 0.0 if region.category == "Figure" else 3 + 0.25 * max(
        (line.size for line in region.lines), default=8.0)  # fmt: skip
    left, top = max(0, math.floor(x0 - reach)), max(0, math.floor(y0 - reach))
    part = image[top : math.ceil(y1 + reach), left : math.ceil(x1 + reach)].astype(np.int16)
    if part.size == 0:
        return
    edge = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    ink = np.abs(part - np.median(edge, axis=0)).max(axis=2) > 14
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if len(columns):
        region.boxes = np.array(
            [[left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]], float
        )
        region.lines = [kept for line in region.lines if (kept := _within(line, region.box))]


def _within(line: Line, box: tuple[float, float, float, float]) -> Line | None:
    """A line cut at a box; None where less than half of it is in there."""
    x0, y0, x1, y1 = line.box
    cut = (max(x0, box[0]), max(y0, box[1]), min(x1, box[2]), min(y1, box[3]))
    wide, high = cut[2] - cut[0], cut[3] - cut[1]
    if min(wide, high) <= 0 or wide * high < 0.5 * (x1 - x0) * (y1 - y0):
        return None
    return replace(line, box=cut)


def blank(regions: list[Region], image: np.ndarray) -> bool:
    """Whether a line of words has no ink: a font that the renderer cannot draw; image is H×W×3."""
    for region in regions:
        for line in region.lines:
            if not any(letter.isalnum() for letter in line.text):
                continue
            x0, y0, x1, y1 = line.box
            part = image[max(0, int(y0)) : int(y1) + 1, max(0, int(x0)) : int(x1) + 1]
            if part.size and (part.max(axis=(0, 1)).astype(int) - part.min(axis=(0, 1))).max() < 24:
                return True
    return False


def band(line: Line) -> np.ndarray:
    """The box of a line from the height of its ascenders to its descenders."""
    x0, y0, x1, y1 = line.box
    if line.turned:
        return np.array(line.box)
    if CJK.search(line.text):
        middle = (y0 + y1) / 2
        return np.array([x0, middle - 0.5 * line.size, x1, middle + 0.5 * line.size])
    return np.array([x0, line.base - ABOVE * line.size, x1, line.base + BELOW * line.size])


def _whole(lines: list[Line]) -> Line:
    """A formula, whose parts stand above each other, as one line."""
    boxes = np.array([line.box for line in lines])
    x0, y0 = boxes[:, :2].min(axis=0).tolist()
    x1, y1 = boxes[:, 2:].max(axis=0).tolist()
    size = max(line.size for line in lines)
    return Line(" ".join(line.text for line in lines), (x0, y0, x1, y1), y1, size, False)


def _lines(words: list[list[Any]], scale: float) -> list[Line]:
    """Words in order of the document, joined to lines."""
    lines: list[Line] = []
    block = -1
    for text, x0, y0, x1, y1, base, size, owner, turned in words:
        x0, y0, x1, y1, base, size = (v * scale for v in (x0, y0, x1, y1, base, size))
        last = lines[-1] if lines else None
        if last is not None and owner == block and not turned and not last.turned:
            gap = max(x0 - last.box[2], last.box[0] - x1)
            level = abs(base - last.base) < 0.6 * max(size, last.size)
            if level and gap < 1.9 * max(size, last.size):
                apart = gap > (0.75 if CJK.match(text) or CJK.match(last.text[-1]) else 0.08) * size
                joint = " " if apart else ""
                raised = size < 0.8 * last.size
                lines[-1] = Line(
                    last.text + joint + text,
                    (min(last.box[0], x0), min(last.box[1], y0),
                     max(last.box[2], x1), max(last.box[3], y1)),
                    last.base if raised or size < last.size else base,
                    max(size, last.size),
                    False,
                )  # fmt: skip
                continue
        block = owner
        if turned and last is not None and last.turned and len(words) < 40:
            lines[-1] = Line(
                last.text + " " + text,
                (min(last.box[0], x0), min(last.box[1], y0),
                 max(last.box[2], x1), max(last.box[3], y1)),
                base, size, True,
            )  # fmt: skip
            continue
        lines.append(Line(text, (x0, y0, x1, y1), base, size, bool(turned)))
    return lines


def _fragments(lines: list[Line]) -> list[list[Line]]:
    """Lines of a region by the columns that they stand in."""
    parts: list[list[Line]] = []
    left = right = middle = 0.0
    for line in lines:
        x0, y0, x1, y1 = line.box
        y = (y0 + y1) / 2
        apart = x0 > right + 8 * line.size or x1 < left - 8 * line.size
        if not parts or y < middle - 2.0 * line.size or (apart and y < middle + line.size * 0.6
                                                         and False):  # fmt: skip
            parts.append([])
            left, right = x0, x1
        parts[-1].append(line)
        left, right, middle = min(left, x0), max(right, x1), y
    return parts
