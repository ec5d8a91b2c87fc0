"""What stands on a PDF page: letters and drawn objects, each with its marked content.

All boxes are x0 y0 x1 y1 in pixels of the page as it is drawn, y down.
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmv3det.errors import InputError

Box = tuple[float, float, float, float]
Owner = int | str | None
"""Marked content id; "Pagination" for what is marked as a page's head or foot, "Artifact" for other
artifacts; None for what has no tag."""

MAX_OBJECTS = 200_000
"""Drawn objects of one page."""
MAX_LETTERS = 200_000
MAX_FORM_DEPTH = 12
_MAX_CLIP = 64
"""Corners of a clip path that are looked at; of a longer one the object's own box is kept."""
_HYPHENS = (0x02, 0xAD, 0xFFFE)
"""What PDFium gives for the hyphen that divides a word at the end of a line."""
_FINE = 64
"""Steps a pixel in which positions are asked for, which come as whole numbers."""
_INVISIBLE = (3, 7)
"""Modes of drawing text that leave no ink."""


@dataclass(slots=True)
class Letter:
    """A letter that can be seen.

    Attributes:
        text: one character, or a few of a ligature.
        box: around its ink.
        base: y of its base line.
        size: type size in pixels.
        turned: written upwards, downwards or aslant.
        spaced: a space stands before it.
        owner: whose it is.
    """

    text: str
    box: Box
    base: float
    size: float
    turned: bool
    spaced: bool
    owner: Owner


@dataclass(slots=True)
class Ink:
    """A drawn object: `path`, `image` or `shading`."""

    kind: str
    box: Box
    owner: Owner


@dataclass
class Content:
    """All that stands on a page.

    Attributes:
        size: (height, width) in pixels.
        letters: in the order of the file.
        inks: likewise.
        fields: boxes of the fields to fill in.
        hidden: letters and digits that are there but not drawn.
    """

    size: tuple[int, int]
    letters: list[Letter] = field(default_factory=list)
    inks: list[Ink] = field(default_factory=list)
    fields: list[Box] = field(default_factory=list)
    hidden: int = 0


def read_content(page: Any, scale: float) -> Content:
    """Letters and drawn objects of a page.

    Args:
        page: an open page of pypdfium2.
        scale: pixels a point.

    Raises:
        InputError: more of them than are allowed.
    """
    width, height = (math.ceil(side * scale) for side in page.get_size())
    reader = _Reader(page, width, height)
    content = Content((height, width))
    content.inks = list(reader.inks())
    reader.settle()
    for ink in content.inks:
        ink.owner = reader.settled(ink.owner)
    content.letters = list(reader.letters())
    content.hidden = reader.hidden
    content.fields = list(reader.fields())
    return content


@dataclass(frozen=True)
class _Inner:
    """An id of marked content that stands within a form object: it may be of another stream."""

    number: int


class _Reader:
    def __init__(self, page: Any, width: int, height: int) -> None:
        import pypdfium2.raw as pdfium

        self.pdfium, self.page, self.width, self.height = pdfium, page, width, height
        self.owners: dict[int, Any] = {}
        self.ids: set[int] = set()
        self.count = self.hidden = 0
        origin, right, up = (self._device(x, y) for x, y in ((0, 0), (1000, 0), (0, 1000)))
        self.affine = np.array(
            [
                [(right[0] - origin[0]) / 1000, (up[0] - origin[0]) / 1000, origin[0]],
                [(right[1] - origin[1]) / 1000, (up[1] - origin[1]) / 1000, origin[1]],
            ]
        )

    def _device(self, x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        frame = (0, 0, self.width * _FINE, self.height * _FINE, 0)
        self.pdfium.FPDF_PageToDevice(
            self.page, *frame, x, y, ctypes.byref(across), ctypes.byref(down)
        )
        return across.value / _FINE, down.value / _FINE

    def _pixels(self, box: Box, matrix: np.ndarray | None = None) -> Box:
        """A box of PDF points (left, bottom, right, top) in pixels."""
        total = self.affine if matrix is None else self.affine @ matrix
        (a, b, e), (c, d, f) = total.tolist()
        x0, y0, x1, y1 = box
        xs = [a * x + b * y + e for x in (x0, x1) for y in (y0, y1)]
        ys = [c * x + d * y + f for x in (x0, x1) for y in (y0, y1)]
        return min(xs), min(ys), max(xs), max(ys)

    # Objects

    def inks(self) -> Iterator[Ink]:
        """Drawn objects that are no text; the owners of those that are text are kept."""
        pdfium = self.pdfium
        count = pdfium.FPDFPage_CountObjects(self.page)
        objects = (pdfium.FPDFPage_GetObject(self.page, index) for index in range(count))
        yield from self._walk(objects, np.eye(3), None, None, 0)

    def _walk(
        self, objects: Iterator[Any], matrix: np.ndarray, owner: Any, clip: Box | None, depth: int
    ) -> Iterator[Ink]:
        pdfium = self.pdfium
        kinds = {
            pdfium.FPDF_PAGEOBJ_PATH: "path",
            pdfium.FPDF_PAGEOBJ_IMAGE: "image",
            pdfium.FPDF_PAGEOBJ_SHADING: "shading",
        }
        for item in objects:
            self.count += 1
            if self.count > MAX_OBJECTS:
                raise InputError(f"more than {MAX_OBJECTS:,} drawn objects on one page")
            own = owner
            if own is None:
                own = self._owner(item)
                if depth and isinstance(own, int):
                    own = _Inner(own)
                elif isinstance(own, int):
                    self.ids.add(own)
            kind = pdfium.FPDFPageObj_GetType(item)
            if kind == pdfium.FPDF_PAGEOBJ_TEXT:
                self.owners[ctypes.cast(item, ctypes.c_void_p).value or 0] = own
                continue
            if kind == pdfium.FPDF_PAGEOBJ_FORM:
                if depth >= MAX_FORM_DEPTH:
                    continue
                inner = matrix @ self._matrix(item)
                number = pdfium.FPDFFormObj_CountObjects(item)
                below = (pdfium.FPDFFormObj_GetObject(item, index) for index in range(number))
                yield from self._walk(below, inner, own, self._clip(item, matrix, clip), depth + 1)
                continue
            if kind not in kinds or not self._drawn(item, kind):
                continue
            corners = [ctypes.c_float() for _ in range(4)]
            if not pdfium.FPDFPageObj_GetBounds(item, *map(ctypes.byref, corners)):
                continue
            left, bottom, right, top = (value.value for value in corners)
            box = self._pixels((left, bottom, right, top), matrix)
            box = _common(box, self._clip(item, matrix, clip))
            box = _common(box, (0.0, 0.0, float(self.width), float(self.height)))
            if box[2] > box[0] and box[3] > box[1]:
                yield Ink(kinds[kind], box, own)

    def _matrix(self, item: Any) -> np.ndarray:
        matrix = self.pdfium.FS_MATRIX()
        self.pdfium.FPDFPageObj_GetMatrix(item, matrix)
        m = matrix
        return np.array([[m.a, m.c, m.e], [m.b, m.d, m.f], [0.0, 0.0, 1.0]])

    def _clip(self, item: Any, matrix: np.ndarray, outer: Box | None) -> Box | None:
        """The box that an object is cut to, in pixels."""
        pdfium = self.pdfium
        clip = pdfium.FPDFPageObj_GetClipPath(item)
        if not clip:
            return outer
        for index in range(min(max(pdfium.FPDFClipPath_CountPaths(clip), 0), 16)):
            corners = pdfium.FPDFClipPath_CountPathSegments(clip, index)
            if not 3 <= corners <= _MAX_CLIP:
                continue
            xs, ys = [], []
            for corner in range(corners):
                segment = pdfium.FPDFClipPath_GetPathSegment(clip, index, corner)
                x, y = ctypes.c_float(), ctypes.c_float()
                if pdfium.FPDFPathSegment_GetPoint(segment, ctypes.byref(x), ctypes.byref(y)):
                    xs.append(x.value)
                    ys.append(y.value)
            if xs:
                box = self._pixels((min(xs), min(ys), max(xs), max(ys)), matrix)
                outer = box if outer is None else _common(outer, box)
        return outer

    def _drawn(self, item: Any, kind: int) -> bool:
        """Whether a path leaves ink: some only measure or clip."""
        pdfium = self.pdfium
        if kind != pdfium.FPDF_PAGEOBJ_PATH:
            return True
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDFPath_GetDrawMode(item, ctypes.byref(fill), ctypes.byref(stroke))
        return bool(fill.value or stroke.value)

    def _owner(self, item: Any) -> Owner:
        """What the innermost mark of an object says."""
        pdfium = self.pdfium
        for index in reversed(range(min(pdfium.FPDFPageObj_CountMarks(item), 64))):
            mark = pdfium.FPDFPageObj_GetMark(item, index)
            number = ctypes.c_int()
            if pdfium.FPDFPageObjMark_GetParamIntValue(mark, b"MCID", ctypes.byref(number)):
                if number.value >= 0:
                    return number.value
                continue
            if _mark_name(pdfium, mark) == "Artifact":
                return _artifact(pdfium, mark)
        return None

    def settle(self) -> None:
        """Ids within form objects count where the page's own stream does not have them too."""
        self.owners = {address: self.settled(owner) for address, owner in self.owners.items()}

    def settled(self, owner: Any) -> Owner:
        if isinstance(owner, _Inner):
            return None if owner.number in self.ids else owner.number
        return owner

    # Letters

    def letters(self) -> Iterator[Letter]:
        """The letters that can be seen, in the order of the text layer."""
        pdfium = self.pdfium
        textpage = self.page.get_textpage()
        count = pdfium.FPDFText_CountChars(textpage)
        if count > MAX_LETTERS:
            raise InputError(f"more than {MAX_LETTERS:,} letters on one page")
        corners = [ctypes.c_double() for _ in range(4)]
        refs = [ctypes.byref(value) for value in corners]
        x, y = ctypes.c_double(), ctypes.c_double()
        matrix = pdfium.FS_MATRIX()
        (a, b, _), (c, d, _) = self.affine.tolist()
        shown: dict[int, bool] = {}
        spaced, surrogate = False, 0
        for index in range(count):
            unit = pdfium.FPDFText_GetUnicode(textpage, index)
            if 0xD800 <= unit < 0xDC00:
                surrogate = unit
                continue
            if 0xDC00 <= unit < 0xE000:
                unit = 0x10000 + ((surrogate - 0xD800) << 10) + unit - 0xDC00
            if unit in _HYPHENS:
                if pdfium.FPDFText_IsGenerated(textpage, index) == 1:
                    continue
                unit = 0x2D
            if unit == 0:
                unit = 0xFFFD
            if unit > 0x10FFFF or 0xD800 <= unit < 0xE000:
                continue
            char = chr(unit)
            pdfium.FPDFText_GetCharBox(textpage, index, refs[0], refs[1], refs[2], refs[3])
            left, right, bottom, top = (value.value for value in corners)
            if char.isspace() or unit < 32 or right <= left or top <= bottom:
                spaced = True
                continue
            item = pdfium.FPDFText_GetTextObject(textpage, index)
            address = ctypes.cast(item, ctypes.c_void_p).value or 0
            if address not in shown:
                mode = pdfium.FPDFTextObj_GetTextRenderMode(item) if item else 0
                shown[address] = mode not in _INVISIBLE
            if not shown[address]:
                self.hidden += char.isalnum()
                continue
            box = self._pixels((left, bottom, right, top))
            middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            if not (0 <= middle[0] <= self.width and 0 <= middle[1] <= self.height):
                continue
            pdfium.FPDFText_GetMatrix(textpage, index, matrix)
            pdfium.FPDFText_GetCharOrigin(textpage, index, ctypes.byref(x), ctypes.byref(y))
            size = pdfium.FPDFText_GetFontSize(textpage, index)
            size *= math.hypot(a * matrix.c + b * matrix.d, c * matrix.c + d * matrix.d)
            across, down = a * matrix.a + b * matrix.b, c * matrix.a + d * matrix.b
            base = c * x.value + d * y.value + float(self.affine[1, 2])
            if "\U0001d400" <= char <= "\U0001d7ff" or "\ufb00" <= char <= "\ufb06":
                char = unicodedata.normalize("NFKC", char)
            yield Letter(
                char,
                box,
                base,
                size if size > 0 else box[3] - box[1],
                abs(down) > 0.2 * abs(across) or across < 0,
                spaced,
                self.owners.get(address),
            )
            spaced = False
        textpage.close()

    # Fields

    def fields(self) -> Iterator[Box]:
        """Boxes of the page's form fields."""
        pdfium = self.pdfium
        for index in range(min(pdfium.FPDFPage_GetAnnotCount(self.page), 10_000)):
            annotation = pdfium.FPDFPage_GetAnnot(self.page, index)
            if not annotation:
                continue
            rect = pdfium.FS_RECTF()
            widget = pdfium.FPDFAnnot_GetSubtype(annotation) == pdfium.FPDF_ANNOT_WIDGET
            hidden = pdfium.FPDFAnnot_GetFlags(annotation) & (
                pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
            )
            if widget and not hidden and pdfium.FPDFAnnot_GetRect(annotation, rect):
                box = self._pixels((rect.left, rect.bottom, rect.right, rect.top))
                box = _common(box, (0.0, 0.0, float(self.width), float(self.height)))
                if box[2] - box[0] > 1 and box[3] - box[1] > 1:
                    yield box
            pdfium.FPDFPage_CloseAnnot(annotation)


def _common(box: Box, other: Box | None) -> Box:
    if other is None:
        return box
    return (
        max(box[0], other[0]),
        max(box[1], other[1]),
        min(box[2], other[2]),
        min(box[3], other[3]),
    )


def _mark_name(pdfium: Any, mark: Any) -> str:
    buffer, size = ctypes.create_string_buffer(200), ctypes.c_ulong()
    pointer = ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR))
    if not pdfium.FPDFPageObjMark_GetName(mark, pointer, 200, ctypes.byref(size)):
        return ""
    return buffer.raw[: max(0, min(size.value, 200) - 2)].decode("utf-16-le", errors="replace")


def _artifact(pdfium: Any, mark: Any) -> str:
    """What kind of artifact a mark names. PDFium tells the keys, not the names that they hold;
    heads and feet alone have a Subtype or say what they are attached to."""
    for key in (b"Subtype", b"Attached"):
        if pdfium.FPDFPageObjMark_GetParamValueType(mark, key) != pdfium.FPDF_OBJECT_UNKNOWN:
            return "Pagination"
    return "Artifact"
