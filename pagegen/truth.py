"""Region boxes and words of a typeset page, read back from its PDF by their marks.

Boxes are x0 y0 x1 y1 in pixels of the rendered page, y down.
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pagegen.marks import Marks, UnitMark, code_of
from pagegen.text import CJK

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class Line:
    """A line of words.

    Attributes:
        text: its words.
        boxes: N×4 float, the boxes of its letters.
        stacked: a formula or a turned label, which has no base line.
    """

    text: str
    boxes: np.ndarray
    stacked: bool = False


@dataclass
class Region:
    """A region, or its fragment in one column.

    Attributes:
        category: its class.
        boxes: N×4 float, the boxes of its letters, rules and pictures.
        lines: its lines of words, in reading order.
    """

    category: str
    boxes: np.ndarray
    lines: list[Line] = field(default_factory=list)


@dataclass
class Truth:
    """A rendered page and all that is on it.

    Attributes:
        image: RGB.
        regions: in the order in which they were written.
    """

    image: Image.Image
    regions: list[Region]


def hull(boxes: np.ndarray) -> tuple[float, float, float, float]:
    """The box around boxes N×4, N > 0."""
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


@dataclass
class _Letter:
    char: str
    box: tuple[float, float, float, float]
    blank: bool


def read_page(pdf: bytes, marks: Marks, scale: float) -> Truth:
    """Render the first page of a PDF and read its regions and words.

    Args:
        pdf: the typeset document.
        marks: what the codes in its colours mean.
        scale: pixels a point.
    """
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument(pdf)
    try:
        page = document[0]
        width, height = page.get_size()
        image = page.render(scale=scale).to_pil().convert("RGB")
        sx, sy = image.width / width, image.height / height
        letters = _letters(page, marks)
        ink = _ink(page, marks)
    finally:
        document.close()
    scales = np.array([sx, sy, sx, sy])
    units: dict[int, list[Line]] = {}
    for code, found in letters.items():
        unit = marks.units[code - 1]
        units[code] = [
            Line(text, _flip(np.array(boxes), height) * scales, unit.stacked or not unit.upright)
            for text, boxes in _split(found, unit)
        ]
    rules = {region: _flip(np.array(boxes), height) * scales for region, boxes in ink.items()}
    regions = _regions(marks, units, rules, scale)
    grey = np.asarray(image.convert("L"))
    for region in regions:
        if region.category == "Figure":
            _shrink_to_ink(region, grey)
    return Truth(image, regions)


def _shrink_to_ink(region: Region, grey: np.ndarray) -> None:
    """Cut a figure's boxes at its ink: PDF bounds of sharp bends reach further than the line."""
    x0, y0, x1, y1 = hull(region.boxes)
    left, top = max(0, math.floor(x0)), max(0, math.floor(y0))
    ink = grey[top : math.ceil(y1), left : math.ceil(x1)] < 250
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if len(columns) == 0:
        return
    low = np.array([left + columns[0], top + rows[0]] * 2, dtype=float)
    high = np.array([left + columns[-1] + 1, top + rows[-1] + 1] * 2, dtype=float)
    region.boxes = np.clip(region.boxes, low, high)


def _flip(boxes: np.ndarray, height: float) -> np.ndarray:
    """PDF boxes (left, bottom, right, top; y up) as x0 y0 x1 y1 with y down."""
    return np.stack([boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]], axis=1)


def _letters(page: object, marks: Marks) -> dict[int, list[_Letter]]:
    """The letters of each unit in the order of the text layer."""
    import pypdfium2.raw as raw

    textpage = page.get_textpage()  # type: ignore[attr-defined]
    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    x0, x1, y0, y1 = (ctypes.c_double() for _ in range(4))
    ink = [ctypes.byref(value) for value in (red, green, blue, alpha)]
    corners = [ctypes.byref(value) for value in (x0, x1, y0, y1)]
    found: dict[int, list[_Letter]] = {}
    known = len(marks.units)
    surrogate = 0
    for i in range(raw.FPDFText_CountChars(textpage)):
        number = raw.FPDFText_GetUnicode(textpage, i)
        if number in (0, 10, 13):
            continue
        raw.FPDFText_GetFillColor(textpage, i, *ink)
        code = code_of(red.value, green.value, blue.value)
        if not 0 < code <= known:
            continue
        if number == 32:
            # Most of a page's calls are for letters; a space's box is not used.
            if raw.FPDFText_IsGenerated(textpage, i) != 1:
                found.setdefault(code, []).append(_Letter(" ", (0.0, 0.0, 0.0, 0.0), True))
            continue
        if number in (2, 45, 0xAD) and raw.FPDFText_IsGenerated(textpage, i) == 1:
            continue
        if 0xD800 <= number < 0xDC00:
            surrogate = number
            continue
        if 0xDC00 <= number < 0xE000:
            number = 0x10000 + ((surrogate - 0xD800) << 10) + number - 0xDC00
        char = "-" if number in (2, 0xAD) else chr(number)
        if "\U0001d400" <= char <= "\U0001d7ff":
            char = unicodedata.normalize("NFKC", char)
        raw.FPDFText_GetCharBox(textpage, i, *corners)
        box = (x0.value, y0.value, x1.value, y1.value)
        blank = char.isspace() or box[2] - box[0] <= 0 or box[3] - box[1] <= 0
        found.setdefault(code, []).append(_Letter(char, box, blank))
    textpage.close()
    return found


def _ink(page: object, marks: Marks) -> dict[int, list[tuple[float, float, float, float]]]:
    """Boxes of the rules, drawings and picture sheets of each region, PDF points."""
    import pypdfium2.raw as raw

    red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
    refs = [ctypes.byref(value) for value in (red, green, blue, alpha)]
    found: dict[int, list[tuple[float, float, float, float]]] = {}
    known = len(marks.units)
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH]):  # type: ignore[attr-defined]
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(item, ctypes.byref(fill), ctypes.byref(stroke))
        get = raw.FPDFPageObj_GetStrokeColor if stroke.value else raw.FPDFPageObj_GetFillColor
        get(item, *refs)
        code = code_of(red.value, green.value, blue.value)
        if 0 < code <= known:
            found.setdefault(marks.units[code - 1].region, []).append(item.get_bounds())
    return found


_Boxes = list[tuple[float, float, float, float]]


def _split(letters: list[_Letter], unit: UnitMark) -> list[tuple[str, _Boxes]]:
    """The lines of a unit: words and boxes (PDF points)."""
    if not unit.upright:
        text = "".join(x.char for x in letters).strip()
        boxes = [x.box for x in letters if not x.blank]
        return [(text, boxes)] if boxes else []
    rows: list[list[_Letter]] = []
    if unit.stacked:
        rows = [letters]
    else:
        middle = math.inf
        right = -math.inf
        for letter in letters:
            if letter.blank:
                if rows:
                    rows[-1].append(letter)
                continue
            y = (letter.box[1] + letter.box[3]) / 2
            jump = abs(y - middle)
            back = letter.box[0] < right - 1.5 * unit.size
            if jump > 0.95 * unit.size or (back and jump > 0.45 * unit.size):
                rows.append([])
                middle = y
            rows[-1].append(letter)
            right = letter.box[2]
            # Small marks and raised letters say little about where the line is.
            if letter.box[3] - letter.box[1] > 0.3 * unit.size and jump < 0.3 * unit.size:
                middle = 0.5 * middle + 0.5 * y
    lines: list[tuple[str, _Boxes]] = []
    for row in rows:
        lines.extend(_pieces(row, unit))
    return lines


def _parted(last: str, char: str, gap: float) -> bool:
    """Whether a gap, in parts of the type size, between two letters is a space."""
    if last in "，。；：、）．”》】" or char in "（“《【":
        return False  # Their ink fills half of their width.
    return gap > (0.75 if CJK.match(last) or CJK.match(char) else 0.22)


def _pieces(row: list[_Letter], unit: UnitMark) -> list[tuple[str, _Boxes]]:
    """A row, cut where a wide gap stands; spaces put where the gaps say so."""
    pieces: list[tuple[str, _Boxes]] = []
    text, boxes = "", []
    right = None
    for letter in row:
        if letter.blank:
            if text and not text.endswith(" ") and letter.char.isspace():
                text += " "
            continue
        if right is not None:
            gap = letter.box[0] - right
            if gap > 1.9 * unit.size and not unit.stacked:
                pieces.append((text.strip(), boxes))
                text, boxes = "", []
            elif not text.endswith(" ") and _parted(text[-1], letter.char, gap / unit.size):
                text += " "
        text += letter.char
        boxes.append(letter.box)
        right = letter.box[2] if right is None or not unit.stacked else max(right, letter.box[2])
    if boxes:
        pieces.append((text.strip(), boxes))
    return [(words, found) for words, found in pieces if words]


def _covers(lines: list[tuple[Line, float]], marks: Marks, category: str) -> list[np.ndarray]:
    """The boxes that a region covers for its lines; each line is given with its type size."""
    covers = [line.boxes for line, _ in lines]
    if marks.full_height and category not in ("Figure", "Table"):
        covers.extend(_band(line, size) for line, size in lines if not line.stacked)
    return covers


def _band(line: Line, size: float) -> np.ndarray:
    """The box of a line from the height of its ascenders to its descenders: 1×4."""
    x0, _, x1, _ = hull(line.boxes)
    if CJK.search(line.text):
        middle = float(np.median(line.boxes[:, 1] + line.boxes[:, 3])) / 2
        return np.array([[x0, middle - 0.5 * size, x1, middle + 0.5 * size]])
    base = float(np.median(line.boxes[:, 3]))
    return np.array([[x0, base - 0.86 * size, x1, base + 0.22 * size]])


def _near(one: Region, two: Region, gap: float) -> bool:
    """Whether the boxes of two regions are less than ``gap`` pixels apart, level and upright."""
    a, b = hull(one.boxes), hull(two.boxes)
    return max(a[0], b[0]) - min(a[2], b[2]) < gap and max(a[1], b[1]) - min(a[3], b[3]) < 0.2 * gap


def _regions(
    marks: Marks, units: dict[int, list[Line]], rules: dict[int, np.ndarray], scale: float
) -> list[Region]:
    """Regions from units; flowing ones cut into their fragments."""
    lines: dict[int, list[tuple[Line, float]]] = {}
    for code in sorted(units):
        unit = marks.units[code - 1]
        lines.setdefault(unit.region, []).extend((line, unit.size * scale) for line in units[code])
    regions: list[Region] = []
    whole: dict[int, Region] = {}
    for index, mark in enumerate(marks.regions):
        own = lines.get(index, [])
        drawn = rules.get(index)
        if not mark.flows:
            parts = _covers(own, marks, mark.category)
            if drawn is not None:
                parts.append(drawn)
            if not parts:
                continue
            region = Region(mark.category, np.concatenate(parts), [x for x, _ in own])
            other = whole.get(mark.joins)
            if other is not None and _near(region, other, 2 * own[0][1]):
                other.boxes = np.concatenate([other.boxes, region.boxes])
                other.lines.extend(region.lines)
                continue
            whole[index] = region
            regions.append(region)
            continue
        fragments: list[list[Line]] = []
        bottom, span = 0.0, (0.0, 0.0)
        for line, size in own:
            x0, y0, x1, y1 = hull(line.boxes)
            apart = x0 > span[1] + size or x1 < span[0] - size
            if not fragments or (y1 + y0) / 2 < bottom - 2.0 * size or apart:
                fragments.append([])
                span = (x0, x1)
            fragments[-1].append(line)
            span = (min(span[0], x0), max(span[1], x1))
            bottom = y1
        sizes = {id(line): size for line, size in own}
        for part in fragments:
            covers = _covers([(line, sizes[id(line)]) for line in part], marks, mark.category)
            regions.append(Region(mark.category, np.concatenate(covers), part))
    return regions
