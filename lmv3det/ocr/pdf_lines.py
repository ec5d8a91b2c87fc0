"""Lines from the characters of a PDF page, whatever direction they run in.

Characters come in the order of reading. Each has the direction of its base line, and a column of
characters that stand below one another runs downwards. Places are taken along that direction (u)
and across it (v), so that one rule serves for all of them.

Shapes: N characters, M of a piece. Boxes are x0 y0 x1 y1, y downwards.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lmv3det.data.pdf import FLAT
from lmv3det.ocr.pdf_chars import STRAIGHT, Chars

GAP = 1.5
"""Line heights between two characters that still belong to one line."""
_TWIN = 0.12
"""Ems between a character and its like that is drawn over it."""
_TWIN_REACH = 2.0
"""Points: the same at most."""
_NEIGHBOURS = 2.5
"""Line heights above and below in which lines show that a gap is no gutter."""
_AROUND = 5.0
"""Line heights: the lines that must leave a gutter free lie within."""
_WIDEST = 6.0
"""Line heights: no line is stretched to wider gaps than that."""
_CROSSED, _CROSSED_SPACE = 0.6, 0.3
"""Fraction of a gap that lines above must cover, and lines below; where the file has a space."""
_STRIP, _STRIP_SPACE = 0.3, 1.0
"""Line heights: a narrower strip that all neighbours leave free is the space between words; where
the file has a space."""

_CLOSE, _NEXT = 0.15, 0.35
"""Line heights between two characters of a word, and between two words, at most."""
_OVERLAP = 0.6
"""Line heights by which characters of one line may overlap, as in a fraction."""


@dataclass
class Line:
    """A line of text.

    Attributes:
        text: in the order of reading.
        box: x0 y0 x1 y1 of all its characters.
        angle: degrees clockwise in which it runs.
        members: indices of its characters.
    """

    text: str
    box: tuple[float, float, float, float]
    angle: float
    members: list[int]


@dataclass
class _Piece:
    """Characters beside one another, with their extents along (u) and across (v) their line."""

    group: int
    angle: float
    members: list[int]
    u0: float
    u1: float
    v0: float
    v1: float
    last: float
    """Start of the last character."""

    @property
    def height(self) -> float:
        return self.v1 - self.v0

    def add(self, index: int, u0: float, u1: float, v0: float, v1: float) -> None:
        self.members.append(index)
        self.u0, self.u1 = min(self.u0, u0), max(self.u1, u1)
        self.v0, self.v1 = min(self.v0, v0), max(self.v1, v1)
        self.last = u0

    def level_with(self, v0: float, v1: float) -> bool:
        """Whether a character stands at the line's height. That of a hyphen or a comma says
        little: it may lie above or below by half a line."""
        reach = max(self.height, v1 - v0) / 2
        return self.v0 - reach <= (v0 + v1) / 2 <= self.v1 + reach

    def goes_on(self, u0: float, height: float) -> bool:
        """Whether a character that starts at `u0` is the next one; letters of a ligature share
        one box."""
        size = max(self.height, height)
        return u0 >= min(self.last, self.u1 - size) and u0 - self.u1 <= GAP * size


def assemble(chars: Chars, shown: np.ndarray | None = None) -> list[Line]:
    """The lines of a page, in PDFium's order.

    Args:
        chars: of the page.
        shown: N bool, characters that are read; None: all.
    """
    keep = np.ones(len(chars), dtype=bool) if shown is None else shown.copy()
    keep &= ~_twins(chars, keep)
    pieces: list[_Piece] = []
    for number, group in enumerate(_groups(chars, keep)):
        pieces += _split(chars, group, number)
    pieces = _stacks(chars, _joined(chars, pieces))
    lines = []
    for piece in pieces:
        text = _text(chars, piece.members)
        ink = [k for k in piece.members if k >= 0 and not chars.blank[k]]
        if not text or not ink:
            continue
        boxes = chars.boxes[ink]
        low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
        lines.append(Line(text, box, piece.angle, [k for k in piece.members if k >= 0]))
    return _once(lines)


SPACE = -1
"""Stands among the members of a piece for a space that is not in the file."""


def _text(chars: Chars, members: Sequence[int]) -> str:
    text = "".join(chr(chars.codes[k]) if k >= 0 else " " for k in members)
    return " ".join(text.split())


def _groups(chars: Chars, keep: np.ndarray) -> Iterator[list[int]]:
    """Indices of the characters of each of PDFium's lines."""
    group: list[int] = []
    for index, (kept, end) in enumerate(zip(keep.tolist(), chars.ends.tolist(), strict=True)):
        if kept:
            group.append(index)
        if end and group:
            yield group
            group = []
    if group:
        yield group


def _angle(degrees: float) -> float:
    """A direction from -180 to 180, one of the page's own where it is near."""
    nearest = 90 * round(degrees / 90)
    angle = nearest if abs(degrees - nearest) <= STRAIGHT else round(degrees)
    return float((angle + 180) % 360 - 180)


def _split(chars: Chars, group: list[int], number: int) -> list[_Piece]:
    """The pieces of one of PDFium's lines."""
    inked = [k for k in group if not chars.blank[k]]
    if not inked:
        return []
    angles = {run: _angle(chars.angles[run]) for run in set(chars.runs[inked].tolist()) if run >= 0}
    base = angles.get(int(chars.runs[inked[0]]), 0.0)
    downwards = _runs_down(chars, inked, base)
    direction, current = {}, 0.0
    for k in group:
        if not chars.blank[k]:
            current = angles.get(int(chars.runs[k]), current)
            if downwards and current == base:
                direction[k] = _angle(base + 90)
                continue
        direction[k] = current
    right_to_left = any(
        unicodedata.bidirectional(chr(chars.codes[k])) in ("R", "AL") for k in inked
    )
    # A space belongs to what stands before it.
    pieces: list[_Piece] = []
    part: list[int] = []
    heading: float | None = None
    for k in group:
        own = heading if chars.blank[k] and heading is not None else direction[k]
        if heading is not None and own != heading:
            pieces += _split_part(chars, part, heading, right_to_left, number)
            part = []
        heading = own
        part.append(k)
    if heading is not None:
        pieces += _split_part(chars, part, heading, right_to_left, number)
    return pieces


def _runs_down(chars: Chars, inked: list[int], angle: float) -> bool:
    """Whether characters stand below one another, as seen along the base line of each."""
    if len(inked) < 2 or angle % 90:
        return False
    boxes = chars.boxes[inked]
    turn = np.radians(angle)
    along = np.array([np.cos(turn), np.sin(turn)])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ np.stack([along, [-along[1], along[0]]], axis=1)
    sizes = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1), 1e-6)
    size = np.maximum(sizes[:-1], sizes[1:])
    step = np.diff(centres, axis=0)
    down = (
        (np.abs(step[:, 0]) < 0.6 * size)
        & (step[:, 1] > 0.4 * size)
        & (step[:, 1] > np.abs(step[:, 0]))
    )
    return bool(2 * down.sum() > len(step))


def _extents(chars: Chars, members: list[int], angle: float) -> np.ndarray:
    """M×4: u0, u1, v0, v1 of characters of a line that runs at an angle."""
    boxes = chars.boxes[members]
    turn = np.radians(angle)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    if angle % 90 == 0:
        corners = boxes.reshape(-1, 2, 2)
        u, v = corners @ along, corners @ across
        return np.stack([u.min(1), u.max(1), v.min(1), v.max(1)], axis=1)
    # The upright box of a leaning glyph is too large: its em is taken, from where it stands.
    origins, runs = chars.origins[members], chars.runs[members]
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    own = np.where(runs >= 0, chars.sizes[runs], 0.0)
    em = np.where((own > sides / 4) & (own > 0), own, sides)
    u, v = origins @ along, origins @ across
    wide = sides * 0.8
    return np.stack([u, u + np.minimum(wide, em), v - 0.75 * em, v + 0.2 * em], axis=1)


def _split_part(
    chars: Chars, part: list[int], angle: float, right_to_left: bool, number: int
) -> list[_Piece]:
    """Pieces of characters that run in one direction."""
    inked = [k for k in part if not chars.blank[k]]
    if not inked:
        return []
    extents = dict(zip(inked, _extents(chars, inked, angle).tolist(), strict=True))
    pieces: list[_Piece] = []
    current: _Piece | None = None
    for k in part:
        if k not in extents:
            if current:
                current.members.append(k)
            continue
        u0, u1, v0, v1 = extents[k]
        if current and not (
            current.level_with(v0, v1) and (right_to_left or current.goes_on(u0, v1 - v0))
        ):
            pieces.append(current)
            current = None
        if current is None:
            current = _Piece(number, angle, [], u0, u1, v0, v1, u0)
        current.add(k, u0, u1, v0, v1)
    if current:
        pieces.append(current)
    if right_to_left:
        pieces = [part for piece in pieces for part in _at_gaps(chars, piece, extents)]
    return pieces


def _at_gaps(chars: Chars, piece: _Piece, extents: dict[int, list[float]]) -> list[_Piece]:
    """A piece whose characters are not in the order of their places, cut at its wide gaps."""
    inked = [k for k in piece.members if k in extents]
    places = np.array([extents[k] for k in inked])
    order = np.argsort(places[:, 0], kind="stable")
    reach = np.maximum.accumulate(places[order, 1])
    wide = places[order[1:], 0] - reach[:-1] > GAP * piece.height
    if not wide.any():
        return [piece]
    part_of = np.empty(len(inked), dtype=np.int64)
    part_of[order] = np.concatenate([[0], np.cumsum(wide)])
    of = dict(zip(inked, part_of.tolist(), strict=True))
    found: dict[int, _Piece] = {}
    current: _Piece | None = None
    for k in piece.members:
        if k in of:
            u0, u1, v0, v1 = extents[k]
            current = found.setdefault(
                of[k], _Piece(piece.group, piece.angle, [], u0, u1, v0, v1, u0)
            )
            current.add(k, u0, u1, v0, v1)
        elif current:
            current.members.append(k)
    return list(found.values())


def _joined(chars: Chars, pieces: list[_Piece]) -> list[_Piece]:
    """Pieces of one line joined again over gaps that are no gutter.

    The gap between columns, or between the cells of a table, goes on in the lines above and below.
    That of a justified line does not: words stand there.
    """
    joined: list[_Piece] = []
    rows: _Rows | None = None
    for piece in pieces:
        before = joined[-1] if joined else None
        if before and before.group == piece.group and before.angle == piece.angle:
            first, second = (before, piece) if before.u0 <= piece.u0 else (piece, before)
            level = first.level_with(second.v0, second.v1)
            gap = second.u0 - first.u1
            if level and gap > 0:
                rows = rows or _Rows(pieces)
                if rows.crosses(first, second, _is_space(chars, before.members[-1])):
                    before.members += [SPACE, *piece.members]
                    before.u0, before.u1 = first.u0, max(first.u1, second.u1)
                    before.v0 = min(before.v0, piece.v0)
                    before.v1 = max(before.v1, piece.v1)
                    before.last = piece.last
                    continue
        elif before and _follows(before, piece):
            before.members += [SPACE] * (piece.u0 - before.u1 > _CLOSE * before.height)
            before.members += piece.members
            before.u1 = max(before.u1, piece.u1)
            before.v0, before.v1 = min(before.v0, piece.v0), max(before.v1, piece.v1)
            before.group, before.last = piece.group, piece.last
            continue
        joined.append(piece)
    return joined


def _follows(before: _Piece, piece: _Piece) -> bool:
    """Whether a piece goes on right behind another one, though PDFium ends a line there."""
    height = min(before.height, piece.height)
    return (
        before.angle == piece.angle
        and before.members[-1] >= 0
        and before.level_with(piece.v0, piece.v1)
        and -_OVERLAP * height <= piece.u0 - before.u1 <= _NEXT * height
        and min(before.v1, piece.v1) - max(before.v0, piece.v0) >= 0.5 * height
    )


def _is_space(chars: Chars, index: int) -> bool:
    """Whether a character is a space of the file; one that PDFium adds has no extent."""
    if index < 0 or not chars.blank[index]:
        return False
    x0, y0, x1, y1 = chars.boxes[index]
    return bool(max(x1 - x0, y1 - y0) >= FLAT)


class _Rows:
    """Where the text of a page stands, to be asked for what lies above and below a gap."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self.angles = np.array([piece.angle for piece in pieces])
        self.places = np.array([(p.u0, p.u1, p.v0, p.v1) for p in pieces])

    def crosses(self, first: _Piece, second: _Piece, spaced: bool) -> bool:
        """Whether the rows above and below have text along the gap between two pieces of a row, so
        that no gutter goes through all of them.

        Args:
            first: piece before the gap.
            second: piece behind it.
            spaced: whether the file has a space there, as between words.
        """
        start, stop = first.u1, second.u0
        height = max(first.height, second.height)
        v0, v1 = min(first.v0, second.v0), max(first.v1, second.v1)
        if stop - start > _WIDEST * height:
            return False
        u0, u1, top, foot = self.places.T
        beside = (self.angles == first.angle) & (u0 < stop) & (u1 > start)
        beside &= (foot - top) < 2 * height
        centre = (top + foot) / 2
        above = beside & (centre < v0) & (centre > v0 - _NEIGHBOURS * height)
        below = beside & (centre > v1) & (centre < v1 + _NEIGHBOURS * height)
        sides = int(above.any()) + int(below.any())
        if sides < 2 and not (sides and spaced):
            return False
        free = (1 - (_CROSSED_SPACE if spaced else _CROSSED)) * (stop - start)
        for side in (above, below):
            if side.any() and self._uncovered(side, start, stop).sum() > free:
                return False
        near = beside & (np.abs(centre - (v0 + v1) / 2) < _AROUND * height)
        strips = self._uncovered(near & ((centre < v0) | (centre > v1)), start, stop)
        return not (strips > (_STRIP_SPACE if spaced else _STRIP) * height).any()

    def _uncovered(self, rows: np.ndarray, start: float, stop: float) -> np.ndarray:
        """Lengths of the parts of a gap that no piece covers."""
        spans = self.places[rows, :2].clip(start, stop)
        spans = spans[np.argsort(spans[:, 0])]
        reach = np.maximum.accumulate(np.concatenate([[start], spans[:, 1]]))
        return (np.concatenate([spans[:, 0], [stop]]) - reach).clip(0)


def _stacks(chars: Chars, pieces: list[_Piece]) -> list[_Piece]:
    """Single Chinese, Japanese or Korean characters below one another joined to columns, which
    PDFium takes for lines on a page that has lines from left to right too."""
    found: list[_Piece] = []
    stack: list[_Piece] = []

    def done() -> None:
        if len(stack) >= 3:
            members = [k for piece in stack for k in piece.members]
            angle = _angle(stack[0].angle + 90)
            places = _extents(chars, [k for k in members if not chars.blank[k]], angle)
            u0, v0 = places[:, [0, 2]].min(axis=0).tolist()
            u1, v1 = places[:, [1, 3]].max(axis=0).tolist()
            last = float(places[-1, 0])
            found.append(_Piece(stack[0].group, angle, members, u0, u1, v0, v1, last))
        else:
            found.extend(stack)
        stack.clear()

    for piece in pieces:
        single = piece.angle % 90 == 0 and _is_one_wide(chars, piece)
        if stack and not (single and _stands_below(stack[-1], piece)):
            done()
        if single:
            stack.append(piece)
        else:
            found.append(piece)
    done()
    return found


def _is_one_wide(chars: Chars, piece: _Piece) -> bool:
    inked = [k for k in piece.members if not chars.blank[k]]
    if len(inked) != 1:
        return False
    return unicodedata.east_asian_width(chr(chars.codes[inked[0]])) == "W"


def _stands_below(first: _Piece, second: _Piece) -> bool:
    if first.angle != second.angle:
        return False
    size = max(first.u1 - first.u0, second.u1 - second.u0, first.height, second.height)
    off = abs((first.u0 + first.u1) - (second.u0 + second.u1)) / 2
    return off <= 0.35 * size and -0.3 * size <= second.v0 - first.v1 <= 0.7 * size


def _twins(chars: Chars, keep: np.ndarray) -> np.ndarray:
    """N bool: characters that were drawn before at the same place, for bold letters or a shadow.

    PDFium leaves out what is drawn twice at once; this finds it across the whole page.
    """
    twin = np.zeros(len(chars), dtype=bool)
    able = keep & ~chars.blank & (chars.runs >= 0)
    if not able.any():
        return twin
    asked = np.flatnonzero(able)
    codes = np.array(chars.codes)[asked]
    origins = chars.origins[asked]
    # Two places less than a cell's half apart share a cell of one of four grids.
    close = np.zeros(len(asked), dtype=bool)
    for shift in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        cell = np.floor(origins / (2 * _TWIN_REACH) + shift).astype(np.int64)
        key = (codes * 100_003 + cell[:, 0]) * 100_003 + cell[:, 1]
        _, group, count = np.unique(key, return_inverse=True, return_counts=True)
        close |= count[group] > 1
    asked = asked[close]
    spans = chars.boxes[asked, 2:] - chars.boxes[asked, :2]
    em = np.maximum(chars.sizes[chars.runs[asked]], spans.max(axis=1))
    reach = np.minimum(_TWIN * em, _TWIN_REACH)
    before: dict[int, list[int]] = {}
    place = origins[close].tolist()
    for number, (k, far) in enumerate(zip(asked.tolist(), reach.tolist(), strict=True)):
        x, y = place[number]
        for other in before.get(chars.codes[k], ()):
            a, b = place[other]
            if abs(a - x) <= far and abs(b - y) <= far:
                first = int(asked[other])
                # Letters of a ligature have one place, and one object.
                twin[k] |= bool(chars.runs[first] != chars.runs[k] or k - first > 2)
        if not twin[k]:
            before.setdefault(chars.codes[k], []).append(number)
    return twin


def _once(lines: list[Line]) -> list[Line]:
    """Without lines that say the same as one before them at the same place."""
    seen: dict[str, list[tuple[float, float, float, float]]] = {}
    kept = []
    for line in lines:
        key = "".join(line.text.split())
        if len(key) > 3 and any(_same_place(line.box, box) for box in seen.get(key, ())):
            continue
        seen.setdefault(key, []).append(line.box)
        kept.append(line)
    return kept


def _same_place(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two boxes share more than half of the larger one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width * height > 0.5 * max(areas)
