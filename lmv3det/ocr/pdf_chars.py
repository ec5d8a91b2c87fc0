"""The characters of a PDF page, in PDFium's order, in the frame in which the page is shown.

PDFium puts characters into the order of reading, also those of scripts that run from right to
left, and marks where lines end; both hold whatever the page's rotation. Places are taken to the
shown page here, once, so that nothing later needs to know of rotations and crops.

Shapes: N characters. Boxes are x0 y0 x1 y1 in points of the shown page, y downwards.
"""

from __future__ import annotations

import functools
import unicodedata
from ctypes import addressof, byref, c_double, c_int
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmv3det.data.pdf import FLAT, address

HYPHEN = ord("-")
UNKNOWN = 0xFFFD
"""For glyphs of which the file does not say what they mean, or gives a code that is none."""
_DIVIDES = (0x02, 0xFFFE)
"""What PDFium gives for the hyphen that divides a word at the end of a line."""
_SOFT = 0xAD
_BULLETS = {0xF0B7: 0x2022, 0xF0A7: 0x25AA}
"""The bullets of the fonts Symbol and Wingdings, in the private place where they are found."""
_JOINERS = (0x200C, 0x200D)
_LAM, _ALEFS = 0x644, (0x622, 0x623, 0x625, 0x627, 0x671)
"""Lam, and the alefs that are one glyph with it."""
STRAIGHT = 3.0
"""Degrees by which a base line may differ from the page's sides and counts as along them."""
_FRAME = 1 << 20
"""Steps of a side in which PDFium is asked for the shown frame: it gives whole numbers."""


@dataclass
class Chars:
    """The characters of a page.

    Attributes:
        codes: Unicode; `UNKNOWN` for none.
        boxes: N×4, of the ink; of a glyph that is not there, what its font says.
        origins: N×2, where the glyph stands: of a leaning one on its base line.
        ends: N bool, whether PDFium ends a line behind the character.
        blank: N bool, whether it shows nothing: spaces, and marks that join.
        drawn: N bool, whether the font has a glyph for it.
        runs: N, index of the text object in `objects`; -1 for what PDFium added.
        objects: pointers to the text objects.
        angles: of each object, degrees clockwise in which its base line runs on the shown page.
        sizes: of each object, its em in points.
        fonts: of each object, a number for its font.
        modes: of each object, how it is drawn (3: not at all, as the text of a scan).
        size: (width, height) of the shown page in points.
        to_shown: 2×3 matrix from the file's coordinates to the shown page.
    """

    codes: list[int] = field(default_factory=list)
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    origins: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    ends: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    blank: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    drawn: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    runs: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    objects: list[Any] = field(default_factory=list)
    angles: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    fonts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    modes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    size: tuple[float, float] = (0.0, 0.0)
    to_shown: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))

    def __len__(self) -> int:
        return len(self.codes)


def shown_frame(page: Any) -> np.ndarray:
    """The 2×3 matrix from the file's coordinates to points of the page as it is shown."""
    import pypdfium2.raw as pdfium

    left, bottom, right, top = page.get_bbox()
    width, height = page.get_size()
    x, y = c_int(), c_int()
    points = []
    for across, up in ((left, bottom), (right, bottom), (left, top)):
        frame = (0, 0, _FRAME, _FRAME, 0)
        pdfium.FPDF_PageToDevice(page, *frame, across, up, byref(x), byref(y))
        points.append((x.value / _FRAME * width, y.value / _FRAME * height))
    corner, along, upwards = np.array(points)
    matrix = np.stack(
        [(along - corner) / max(right - left, 1e-6), (upwards - corner) / max(top - bottom, 1e-6)],
        axis=1,
    )
    return np.concatenate([matrix, (corner - matrix @ [left, bottom])[:, None]], axis=1)


def read_chars(page: Any, textpage: Any) -> Chars:
    """The characters of a page.

    Args:
        page: `pypdfium2.PdfPage`.
        textpage: its text.
    """
    import pypdfium2.raw as pdfium

    left, right, bottom, top = (c_double() for _ in range(4))
    sides = (byref(left), byref(right), byref(bottom), byref(top))
    loose = pdfium.FS_RECTF()
    matrix = pdfium.FS_MATRIX()
    raw = textpage.raw
    known: dict[int, int] = {}
    objects: list[Any] = []
    facts: list[tuple[float, float, float, float, float, int]] = []
    fonts: list[int] = []
    font_numbers: dict[int, int] = {}
    codes: list[int] = []
    rows: list[tuple[float, float, float, float]] = []
    ends: list[bool] = []
    blank: list[bool] = []
    drawn: list[bool] = []
    runs: list[int] = []
    places: list[int] = []
    high = 0  # the first half of a character beyond the basic plane
    get_unicode, get_box = pdfium.FPDFText_GetUnicode, pdfium.FPDFText_GetCharBox
    get_object = pdfium.FPDFText_GetTextObject
    for index in range(textpage.count_chars()):
        code = get_unicode(raw, index)
        if code == 0x0A or code == 0x0D:
            if ends:
                ends[-1] = True
            continue
        end = False
        if code < 0x20 or code >= 0xD800:  # rarely
            if 0xD800 <= code < 0xDC00:
                high = code
                continue
            if 0xDC00 <= code < 0xE000:
                code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00) if high else UNKNOWN
            elif code in _DIVIDES:
                code, end = HYPHEN, True
            elif code == 0 or code > 0x10FFFF:
                code = UNKNOWN
            else:
                code = _BULLETS.get(code, code)
        high = 0
        item = get_object(raw, index)
        run = -1
        if item:
            key = addressof(item.contents)
            run = known.get(key, -1)
            if run < 0:
                run = known[key] = len(objects)
                objects.append(item)
                pdfium.FPDFText_GetMatrix(raw, index, matrix)
                facts.append(
                    (matrix.a, matrix.b, matrix.c, matrix.d,
                     pdfium.FPDFText_GetFontSize(raw, index),
                     pdfium.FPDFTextObj_GetTextRenderMode(item))
                )  # fmt: skip
                font = address(pdfium.FPDFTextObj_GetFont(item))
                fonts.append(font_numbers.setdefault(font, len(font_numbers)))
        get_box(raw, index, *sides)
        values = (left.value, bottom.value, right.value, top.value)
        flat = values[2] - values[0] < FLAT or values[3] - values[1] < FLAT
        kind = _kind(code)
        nothing = kind == "Z"
        if nothing:
            code = 0x20
        elif flat:
            if code not in _JOINERS and (kind == "f" or code == _SOFT):
                continue
            nothing = kind == "f" or kind == "M" or run < 0
            if not nothing:
                pdfium.FPDFText_GetLooseCharBox(raw, index, loose)
                values = (loose.left, loose.bottom, loose.right, loose.top)
                nothing = values[2] - values[0] < FLAT or values[3] - values[1] < FLAT
        if code == _SOFT:
            code = HYPHEN
        codes.append(code)
        rows.append(values)
        ends.append(end)
        blank.append(nothing)
        drawn.append(not flat)
        runs.append(run)
        places.append(index)
    frame = shown_frame(page)
    found = Chars(size=page.get_size(), to_shown=frame)
    if not codes:
        return found
    table = np.array(rows, dtype=np.float64)
    turned, moved = frame[:, :2].T, frame[:, 2]
    first, second = table[:, :2] @ turned + moved, table[:, 2:] @ turned + moved
    found.codes = codes
    _turn_lam_alef(codes, rows)
    found.boxes = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    found.ends, found.blank, found.drawn = np.array(ends), np.array(blank), np.array(drawn)
    found.runs, found.objects = np.array(runs), objects
    measures = np.array(facts or np.zeros((0, 6)), dtype=np.float64).reshape(-1, 6)
    along = measures[:, :2] @ turned
    across = measures[:, 2:4] @ turned
    found.angles = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    found.sizes = measures[:, 4] * np.hypot(across[:, 0], across[:, 1])
    found.fonts = np.array(fonts, dtype=np.int64)
    found.modes = measures[:, 5].astype(np.int64)
    found.origins = _origins(raw, found, places)
    return found


def _turn_lam_alef(codes: list[int], rows: list[tuple[float, float, float, float]]) -> None:
    """Put lam before alef where both are one glyph: PDFium turns round what a font says of it."""
    for k in range(1, len(codes)):
        if codes[k] == _LAM and codes[k - 1] in _ALEFS and rows[k] == rows[k - 1]:
            codes[k - 1], codes[k] = codes[k], codes[k - 1]


def text_quarters(chars: Chars) -> int:
    """The direction in which most characters of a page run in its file: quarters of a circle
    from its x axis, counterclockwise."""
    if not len(chars.angles):
        return 0
    on_page = np.degrees(np.arctan2(*chars.to_shown[::-1, 0]))  # where the file's x axis points
    quarters = np.round((on_page - chars.angles) / 90).astype(np.int64) % 4
    counts = np.bincount(chars.runs[(chars.runs >= 0) & ~chars.blank], minlength=len(quarters))
    return int(np.bincount(quarters, weights=counts, minlength=4).argmax())


def _origins(textpage: Any, chars: Chars, places: list[int]) -> np.ndarray:
    """Where characters stand: of those that lean, as PDFium says; the lower left of others'
    boxes."""
    import pypdfium2.raw as pdfium

    origins = chars.boxes[:, [0, 3]].copy()
    leaning = np.abs(chars.angles - 90 * np.round(chars.angles / 90)) > STRAIGHT
    if leaning.any():
        x, y = c_double(), c_double()
        asked = np.flatnonzero((chars.runs >= 0) & leaning[chars.runs]).tolist()
        for k in asked:
            pdfium.FPDFText_GetCharOrigin(textpage, places[k], byref(x), byref(y))
            origins[k] = x.value, y.value
        origins[asked] = origins[asked] @ chars.to_shown[:, :2].T + chars.to_shown[:, 2]
    return origins


@functools.lru_cache(maxsize=4096)
def _kind(code: int) -> str:
    """Z for a space, M for a mark on another character, f for one that only steers, else A."""
    category = unicodedata.category(chr(code))
    if category[0] == "Z" or chr(code).isspace():
        return "Z"
    return "f" if category == "Cf" else "M" if category[0] == "M" else "A"
