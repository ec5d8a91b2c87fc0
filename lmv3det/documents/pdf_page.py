"""What a PDF says of a page beyond its lines: how letters are set, ruling lines, pictures, links.

Everything is in pixels of the page drawn at a resolution, as the lines of
`lmv3det.ocr.pdf_text.PdfText` are.
"""

from __future__ import annotations

import os
import re
from ctypes import byref, c_float, c_int, c_ulong, create_string_buffer
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lmv3det.data.pdf import PDFIUM, flat_page, font_name, open_pdf, page_objects
from lmv3det.documents.lines import Box, Line, Script, Span, Style, Word, merge_spans
from lmv3det.ocr.pdf_chars import Chars, read_chars, shown_frame
from lmv3det.ocr.pdf_lines import Line as LayerLine
from lmv3det.ocr.pdf_lines import assemble
from lmv3det.ocr.pdf_shown import shown_chars, survey

THIN = 2.5
"""Points: a filled box of this height or width at most is a ruling line."""
SHORT = 6.0
"""Points: shorter ruling lines are parts of letters and drawings."""
SMALL = 0.85
"""Letters of this fraction of their line's size may be raised or lowered."""
RAISED, LOWERED = 0.12, 0.08
"""Fractions of the line's size by which their foot is above or below that of the line."""
_BOLD = re.compile(r"bold|black|heavy|semib|demi|cmbx|sfbx|-bd\b|nimbus\w*-medi|\bbx\d", re.I)
_ITALIC = re.compile(r"ital|obliq|cmti|cmsl|sfti|slant|-it\b|\bti\d|mediumital|regulital", re.I)
_MONO = re.compile(r"mono|courier|cmtt|cmsltt|sftt|consol|typewriter|menlo|letter ?gothic", re.I)
_FIXED_PITCH, _ITALIC_FLAG, _FORCE_BOLD = 1, 1 << 6, 1 << 18
"""Flags of a font (ISO 32000-1, table 123)."""


@dataclass
class PdfPage:
    """What a PDF says of a page.

    Attributes:
        lines: with spans and words.
        rules: R×4, ruling lines and sides of boxes; each is flat in one direction.
        pictures: P×4, boxes of its pictures.
    """

    lines: list[Line] = field(default_factory=list)
    rules: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    pictures: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))


def read_pdf_page(
    path: str | os.PathLike, number: int, width: float, height: float, password: str | None = None
) -> PdfPage:
    """What a PDF says of page `number` (from 0).

    Args:
        path: of the file.
        number: of the page.
        width: of the drawn page, pixels.
        height: likewise.
        password: of an encrypted file.

    Raises:
        InputError: a wrong password.
        pypdfium2.PdfiumError: the file or the page cannot be read.
    """
    with PDFIUM, open_pdf(path, password) as document:
        page = document[number]
        links = _links(document, page)
        page.close()
        page = flat_page(document, number)
        textpage = page.get_textpage()
        chars = read_chars(page, textpage)
        layout = survey(page, chars)
        rules = _rules(page, shown_frame(page))
        styles = [_font_style(item) for item in chars.objects]
        shown = shown_chars(page, chars, layout)
        textpage.close()
        page.close()
    scale = np.tile([width / chars.size[0], height / chars.size[1]], 2)
    lines = [_line(chars, line, styles, links, scale) for line in assemble(chars, shown)]
    return PdfPage(lines, rules * scale, layout.pictures * scale)


def _font_style(item: Any) -> Style:
    import pypdfium2.raw as pdfium

    font = pdfium.FPDFTextObj_GetFont(item)
    name = font_name(font).rpartition("+")[2]
    flags = max(pdfium.FPDFFont_GetFlags(font), 0)
    mono = bool(_MONO.search(name)) or bool(flags & _FIXED_PITCH)
    return Style(
        bool(_BOLD.search(name) or flags & _FORCE_BOLD),
        bool(_ITALIC.search(name) or flags & _ITALIC_FLAG),
        mono,
    )


def _links(document: Any, page: Any) -> list[tuple[Box, str]]:
    """The addresses of a page's links, and their boxes in points of the shown page."""
    import pypdfium2.raw as pdfium

    frame, found = shown_frame(page), []
    place, link = c_int(0), pdfium.FPDF_LINK()
    rect = pdfium.FS_RECTF()
    while pdfium.FPDFLink_Enumerate(page, byref(place), byref(link)):
        action = pdfium.FPDFLink_GetAction(link)
        if not action or not pdfium.FPDFLink_GetAnnotRect(link, byref(rect)):
            continue
        length = pdfium.FPDFAction_GetURIPath(document, action, None, c_ulong(0))
        buffer = create_string_buffer(max(length, 1))
        pdfium.FPDFAction_GetURIPath(document, action, buffer, c_ulong(length))
        address = buffer.value.decode("utf-8", "replace")
        if re.match(r"(?:https?|ftp|mailto):", address, re.I):
            corners = np.array([[rect.left, rect.bottom], [rect.right, rect.top]])
            found.append((_shown_box(corners, frame), address))
    return found


def _shown_box(corners: np.ndarray, frame: np.ndarray) -> Box:
    """The box round points of the file, K×2, in points of the shown page."""
    moved = corners @ frame[:, :2].T + frame[:, 2]
    x0, y0 = moved.min(axis=0).tolist()
    x1, y1 = moved.max(axis=0).tolist()
    return x0, y0, x1, y1


def _rules(page: Any, frame: np.ndarray) -> np.ndarray:
    """R×4: ruling lines, and the sides of boxes, in points of the shown page."""
    import pypdfium2.raw as pdfium

    found: list[Box] = []
    for item, kind, depth in page_objects(page):
        if kind != pdfium.FPDF_PAGEOBJ_PATH or depth:  # within a form places are its own
            continue
        fill, stroke = c_int(), c_int()
        pdfium.FPDFPath_GetDrawMode(item, byref(fill), byref(stroke))
        if fill.value or stroke.value:
            for corners in _subpaths(item):
                found += _sides(_shown_box(corners, frame), len(corners))
    rules = np.array(found, dtype=np.float64).reshape(-1, 4)
    return rules[(rules[:, 2:] - rules[:, :2]).max(axis=1, initial=0) >= SHORT]


def _sides(box: Box, points: int) -> list[Box]:
    """The ruling lines that a straight line or a box makes; other paths make none."""
    x0, y0, x1, y1 = box
    if y1 - y0 <= THIN:
        middle = (y0 + y1) / 2
        return [(x0, middle, x1, middle)]
    if x1 - x0 <= THIN:
        middle = (x0 + x1) / 2
        return [(middle, y0, middle, y1)]
    if points < 4:  # a slanting line
        return []
    return [(x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1)]


def _subpaths(item: Any) -> list[np.ndarray]:
    """The straight lines and rectangles of a path: K×2 points of the file each."""
    import pypdfium2.raw as pdfium

    matrix = pdfium.FS_MATRIX()
    pdfium.FPDFPageObj_GetMatrix(item, byref(matrix))
    x, y = c_float(), c_float()
    paths: list[list[tuple[float, float]]] = []
    straight: list[bool] = []
    for index in range(min(max(pdfium.FPDFPath_CountSegments(item), 0), 20_000)):
        segment = pdfium.FPDFPath_GetPathSegment(item, index)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        pdfium.FPDFPathSegment_GetPoint(segment, byref(x), byref(y))
        place = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        if kind == pdfium.FPDF_SEGMENT_MOVETO or not paths:
            paths.append([])
            straight.append(True)
        straight[-1] &= kind != pdfium.FPDF_SEGMENT_BEZIERTO
        paths[-1].append(place)
    kept = []
    for points, fine in zip(paths, straight, strict=True):
        corners = np.array(points)
        steps = np.abs(np.diff(corners, axis=0))
        if fine and 1 < len(points) <= 6 and (steps.min(axis=1) <= THIN).all():
            kept.append(corners)
    return kept


def _line(
    chars: Chars,
    line: LayerLine,
    styles: list[Style],
    links: list[tuple[Box, str]],
    scale: np.ndarray,
) -> Line:
    """A line of the layer with its letters' styles and its words' places."""
    members = [k for k in line.members if not chr(chars.codes[k]).isspace()]
    text = line.text
    box = tuple((np.array(line.box) * scale).tolist())
    runs = chars.runs[members] if members else np.zeros(0, dtype=np.int64)
    sizes = np.where(runs >= 0, chars.sizes[runs], 0.0) if len(chars.sizes) else np.zeros(len(runs))
    size = _usual(sizes) or line.box[3] - line.box[1]
    found = Line(text, box, float(size * scale[1]))  # type: ignore[arg-type]
    if len(members) != sum(not c.isspace() for c in text):
        return found  # letters and their places do not fit together
    upright = line.angle == 0.0
    scripts: list[Script] = [""] * len(members)
    if upright:
        scripts = _scripts(chars, members, sizes, size)
    spans: list[Span] = []
    words: list[Word] = []
    at, start = 0, 0
    for place, letter in enumerate([*text, " "]):
        if not letter.isspace():
            run = int(runs[at])
            style = styles[run] if run >= 0 else Style()
            link = _link_at(chars.boxes[members[at]], links)
            spans.append(Span(letter, replace(style, script=scripts[at], link=link)))
            at += 1
            continue
        if at > start:
            own = chars.boxes[members[start:at]]
            low, high = own[:, :2].min(axis=0), own[:, 2:].max(axis=0)
            place_of = (np.concatenate([low, high]) * scale).tolist()
            words.append(Word(text[place - (at - start) : place], tuple(place_of)))
        start = at
        if place < len(text):
            spans.append(Span(" ", replace(spans[-1].style, script="") if spans else Style()))
    found.spans, found.words = merge_spans(spans), words
    return found


def _usual(sizes: np.ndarray) -> float:
    """The size of most letters."""
    known = sizes[sizes > 0].round(1)
    if not len(known):
        return 0.0
    values, counts = np.unique(known, return_counts=True)
    return float(values[counts.argmax()])


def _scripts(chars: Chars, members: list[int], sizes: np.ndarray, size: float) -> list[Script]:
    """Which letters are raised or lowered."""
    found: list[Script] = [""] * len(members)
    small = (sizes > 0) & (sizes <= SMALL * size)
    if not small.any() or small.all():
        return found
    boxes = chars.boxes[members]
    usual = ~small
    foot = float(np.median(boxes[usual, 3]))
    for index in np.flatnonzero(small).tolist():
        if boxes[index, 3] < foot - RAISED * size:
            found[index] = "super"
        elif boxes[index, 3] > foot + LOWERED * size:
            found[index] = "sub"
    return found


def _link_at(box: np.ndarray, links: list[tuple[Box, str]]) -> str:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for (x0, y0, x1, y1), address in links:
        if x0 <= x <= x1 and y0 <= y <= y1:
            return address
    return ""
