"""The words of a born-digital PDF, straight from its text layer."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.images import PDFIUM
from lmv3det.errors import InputError
from lmv3det.ocr.engine import Engine, enclosing_lines
from lmv3det.text.ocr_json import OcrPage

_HYPHENS = (0x02, 0xAD, 0xFFFE)
"""What PDFium gives for the hyphen that divides a word at the end of a line."""
_UNKNOWN = 0xFFFD
"""For glyphs of which the file does not say what they mean."""
_FINE = 64
"""Steps a pixel in which positions are asked for, which come as whole numbers."""


class PdfText(Engine):
    """Lines of the text layer: exact words, no recognition. A scanned page has none."""

    from_pdf = True
    layer_only = True

    def recognize(self, image: np.ndarray) -> OcrPage:
        """Not for images.

        Raises:
            InputError: always.
        """
        raise InputError(
            "not a PDF, so it has no text layer; take another engine, such as rapidocr or auto"
        )

    def read_pdf(
        self, path: str | os.PathLike, number: int, dpi: int, password: str | None = None
    ) -> OcrPage:
        """The lines of page `number` (from 0), in pixels of the page drawn at `dpi`.

        Raises:
            InputError: the file or the page cannot be read.
        """
        import pypdfium2

        try:
            with PDFIUM, pypdfium2.PdfDocument(Path(path), password=password) as document:
                return _read(document[number], dpi / 72)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (pypdfium2.PdfiumError, IndexError) as error:
            raise InputError(f"{path}: page {number + 1} cannot be read ({error})") from None


def _read(page: Any, scale: float) -> OcrPage:
    import pypdfium2.raw as pdfium

    # The size that a page drawn by pypdfium2 has.
    width, height = (math.ceil(side * scale) for side in page.get_size())
    lines = list(_lines(page))
    x, y = ctypes.c_int(), ctypes.c_int()
    corners = []
    for line in lines:
        points = []
        for across, up in ((line.x0, line.y0), (line.x1, line.y1)):
            frame = (0, 0, width * _FINE, height * _FINE, 0)  # pixels, and no further rotation
            pdfium.FPDF_PageToDevice(page, *frame, across, up, ctypes.byref(x), ctypes.byref(y))
            points.append((x.value / _FINE, y.value / _FINE))
        corners.append(points)
    return enclosing_lines(corners, [line.text() for line in lines], (height, width))


@dataclass
class _Line:
    """A run of characters on one line; PDF points, y upwards."""

    x0: float
    y0: float
    x1: float
    y1: float
    units: list[int] = field(default_factory=list)
    """UTF-16: a character beyond the basic plane comes as two, with the same box."""
    last: float = -math.inf
    """Left edge of the last character."""

    def text(self) -> str:
        units = b"".join(unit.to_bytes(2, "little") for unit in self.units)
        return " ".join(units.decode("utf-16-le", errors="replace").split())

    def continued_by(self, x0: float, y0: float, x1: float, y1: float) -> bool:
        """Whether a character goes on with the line: beside its end, at its height."""
        size = max(self.y1 - self.y0, y1 - y0)
        # The heights of a hyphen or a comma say little: what counts is whether it lies within
        # reach of the line, above or below by half of it at most.
        reach = size / 2
        level = self.y0 - reach <= (y0 + y1) / 2 <= self.y1 + reach
        # The letters of a ligature share one box.
        return level and x0 >= min(self.last, self.x1 - size) and x0 - self.x1 <= 1.5 * size

    def add(self, unit: int, x0: float, y0: float, x1: float, y1: float) -> None:
        self.x0, self.y0 = min(self.x0, x0), min(self.y0, y0)
        self.x1, self.y1 = max(self.x1, x1), max(self.y1, y1)
        self.last = x0
        self.units.append(unit)


def _lines(page: Any) -> Iterator[_Line]:
    """Lines in the order of the file: characters until a line break, or a jump."""
    import pypdfium2.raw as pdfium

    textpage = page.get_textpage()
    line: _Line | None = None
    for index in range(textpage.count_chars()):
        unit = pdfium.FPDFText_GetUnicode(textpage, index)
        if unit in (0x0A, 0x0D):
            if line:
                yield line
            line = None
            continue
        if unit in _HYPHENS:
            unit = ord("-")
        left, bottom, right, top = textpage.get_charbox(index)
        if chr(unit).isspace() or right <= left or top <= bottom:
            if line:
                line.units.append(ord(" "))
            continue
        if line and not line.continued_by(left, bottom, right, top):
            yield line
            line = None
        if line is None:
            line = _Line(left, bottom, right, top)
        line.add(unit or _UNKNOWN, left, bottom, right, top)
    if line:
        yield line
    textpage.close()
