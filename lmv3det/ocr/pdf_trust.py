"""Whether the text layer of a PDF page says what the page shows.

A layer may be of characters without a meaning, where a font does not say what its glyphs are; a
scanned page may have a stamp for all its text. Such a page is better read by an OCR engine.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from lmv3det.ocr.pdf_chars import UNKNOWN, Chars
from lmv3det.ocr.pdf_lines import Line

FONT_UNKNOWN = 0.08
"""Fraction of a font's characters without a meaning from which on none of them has one: where the
glyphs' numbers are taken for letters, the space and signs come out as control characters."""
_FONT_LEAST = 20
"""Characters of a font that are needed to say so."""
LINE_UNKNOWN = 0.5
"""Fraction of a line's characters without a meaning from which on it is left out."""
_LINE_LEAST = 3
"""Characters of a line that are needed to say so."""
PAGE_UNKNOWN = 0.3
"""Fraction of a page's characters without a meaning from which on its layer is not trusted."""
PICTURE = 0.5
"""Fraction of a page that pictures must cover for it to be a scan."""
FEW, SMALL = 300, 0.03
"""Characters, and fraction of the page under them, of text that is not the text of a scan."""
_CELLS = 40
"""Cells a side of the grid on which the pictures of a page are added up."""


def mark_unknown(chars: Chars) -> None:
    """Make `UNKNOWN` of every character that has no meaning, and of all those of a font that has
    many such."""
    codes = np.array(chars.codes, dtype=np.int64)
    if not len(codes):
        return
    kinds = {code: _has_no_meaning(code) for code in set(chars.codes)}
    unknown = np.array([kinds[code] for code in chars.codes]) & ~chars.blank
    fonts = np.where(chars.runs >= 0, chars.fonts[chars.runs], -1) if len(chars.fonts) else None
    if unknown.any() and fonts is not None:
        for font in np.unique(fonts[unknown]):
            own = (fonts == font) & ~chars.blank
            if own.sum() >= _FONT_LEAST and unknown[own].mean() >= FONT_UNKNOWN:
                unknown |= own
    for k in np.flatnonzero(unknown).tolist():
        chars.codes[k] = UNKNOWN


def _has_no_meaning(code: int) -> bool:
    # Controls, private use, what no character is assigned to, halves of a pair.
    return code == UNKNOWN or unicodedata.category(chr(code)) in ("Cc", "Co", "Cn", "Cs")


def is_known(line: Line, garbled: bool) -> bool:
    """Whether a line has known characters enough to be read.

    Args:
        line: of a page.
        garbled: whether most of the page's lines are of unknown characters: then a short one is
            no sign among known ones.
    """
    letters = line.text.replace(" ", "")
    unknown = letters.count(chr(UNKNOWN))
    return (len(letters) < _LINE_LEAST and not garbled) or unknown < LINE_UNKNOWN * len(letters)


def doubt(chars: Chars, shown: np.ndarray, lines: list[Line], pictures: np.ndarray) -> str:
    """Why the text layer of a page is not to be trusted; empty where it is.

    Args:
        chars: of the page, with `mark_unknown` done.
        shown: N bool, those that are read.
        lines: of the page, all of them.
        pictures: P×4, boxes of its pictures.
    """
    asked = shown & ~chars.blank
    total = int(asked.sum())
    if not total:
        return ""
    unknown = int((np.array(chars.codes)[asked] == UNKNOWN).sum())
    if unknown >= PAGE_UNKNOWN * total:
        return f"{unknown} of the {total} characters of its text layer have no meaning"
    upright = [line for line in lines if line.angle % 90 == 0]
    count = sum(len(line.text.replace(" ", "")) for line in upright)
    if count > FEW:
        return ""
    page = chars.size[0] * chars.size[1]
    area = sum((line.box[2] - line.box[0]) * (line.box[3] - line.box[1]) for line in upright)
    if area > SMALL * page or _coverage(pictures, chars.size) < PICTURE:
        return ""
    return f"its text layer has {count} characters only, and the page is a picture"


def _coverage(boxes: np.ndarray, size: tuple[float, float]) -> float:
    """Fraction of a page that boxes cover together."""
    grid = np.zeros((_CELLS, _CELLS), dtype=bool)
    scaled = boxes / np.tile(size, 2) * _CELLS
    low = np.round(scaled[:, :2]).clip(0, _CELLS).astype(int).tolist()
    high = np.round(scaled[:, 2:]).clip(0, _CELLS).astype(int).tolist()
    for (x0, y0), (x1, y1) in zip(low, high, strict=True):
        grid[y0:y1, x0:x1] = True
    return float(grid.mean())
