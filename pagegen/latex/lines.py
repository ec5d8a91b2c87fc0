"""The words of a typeset page, line by line, from the text layer of its PDF."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_HYPHENS = (0x02, 0xAD, 0xFFFE)
"""What PDFium gives for the hyphen that divides a word at the end of a line."""
_UNKNOWN = 0xFFFD
"""For glyphs of which the file does not say what they mean."""
_FINE = 64
"""Steps a pixel in which positions are asked for, which come as whole numbers."""


def read_lines(page: Any, scale: float) -> tuple[list[str], np.ndarray, tuple[int, int]]:
    """The lines of a page of pypdfium2, in the order of the file.

    Args:
        page: the page.
        scale: pixels a point.

    Returns:
        The L lines, their boxes L×4 float64 x0 y0 x1 y1 in pixels, and (width, height) in pixels
        of the page as pypdfium2 draws it.
    """
    import pypdfium2.raw as pdfium

    width, height = (math.ceil(side * scale) for side in page.get_size())
    x, y = ctypes.c_int(), ctypes.c_int()
    words, boxes = [], []
    for line in _lines(page):
        points = []
        for across, up in ((line.x0, line.y0), (line.x1, line.y1)):
            frame = (0, 0, width * _FINE, height * _FINE, 0)  # pixels, and no further rotation
            pdfium.FPDF_PageToDevice(page, *frame, across, up, ctypes.byref(x), ctypes.byref(y))
            points.append((x.value / _FINE, y.value / _FINE))
        x0, y0 = np.min(points, axis=0).clip(0, (width, height))
        x1, y1 = np.max(points, axis=0).clip(0, (width, height))
        text = line.text()
        if text and x1 > x0 and y1 > y0:
            words.append(text)
            boxes.append((x0, y0, x1, y1))
    return words, np.array(boxes, dtype=np.float64).reshape(-1, 4), (width, height)


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
