"""PDF pages whose content is turned, with or without a /Rotate that turns it back."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium


def turn_pdf(source: Path, number: int, degrees: int, path: Path, *, rotate: bool = True) -> Path:
    """A file with the content of one of its pages turned counterclockwise.

    Args:
        source: a PDF whose page has no /Rotate.
        number: of the page, from 0.
        degrees: 0, 90, 180 or 270.
        path: is written.
        rotate: whether /Rotate turns it back, so that the page looks as before.
    """
    document = pypdfium2.PdfDocument(source)
    page = document[number]
    left, bottom, right, top = page.get_bbox()
    matrix = {
        0: (1, 0, 0, 1, -left, -bottom),
        90: (0, 1, -1, 0, top, -left),
        180: (-1, 0, 0, -1, right, top),
        270: (0, -1, 1, 0, -bottom, right),
    }[degrees]
    assert pdfium.FPDFPage_TransFormWithClip(page, pdfium.FS_MATRIX(*matrix), None)
    width, height = right - left, top - bottom
    size = (width, height) if degrees % 180 == 0 else (height, width)
    page.set_mediabox(0, 0, *size)
    page.set_cropbox(0, 0, *size)
    page.set_rotation(degrees if rotate else 0)
    document.save(path)
    document.close()
    return path
