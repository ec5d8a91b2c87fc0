"""PDF files: told from others, opened, and their pages as they are shown.

Everything here but `is_pdf` is called with `PDFIUM` held.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from collections.abc import Iterator
from ctypes import byref, c_double, create_string_buffer
from pathlib import Path
from typing import Any

from lmv3det.errors import InputError

PDFIUM = threading.Lock()
"""Held while PDFium works, which is not thread-safe."""
HEAD = 1024
"""Bytes in which a PDF says that it is one (ISO 32000-1, note in annex H, 3.4.1)."""
IMAGE_HEADS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"RIFF", b"\0\0\0")
"""How files begin that are images, though a PDF's mark may lie in their metadata."""
MAX_DEPTH = 12
"""Of forms within forms: PDFium itself goes no deeper."""
_PLAIN_ANNOTATIONS = (2, 16)
"""Links and pop-ups (FPDF_ANNOT_LINK, FPDF_ANNOT_POPUP), which show no text on the page."""


def is_pdf(path: str | os.PathLike) -> bool:
    """Whether a file is a PDF: by its content; where that says nothing, by its name."""
    try:
        if not Path(path).is_file():  # a pipe would be waited for
            return Path(path).suffix.lower() == ".pdf"
        with open(path, "rb") as stream:
            head = stream.read(HEAD)
    except (OSError, ValueError):
        return Path(path).suffix.lower() == ".pdf"
    if head.startswith(IMAGE_HEADS):
        return False
    return b"%PDF-" in head or Path(path).suffix.lower() == ".pdf"


def open_pdf(path: str | os.PathLike, password: str | None) -> Any:
    """A `pypdfium2.PdfDocument` whose form fields show their values.

    Raises:
        InputError: it is encrypted and the password is missing or wrong.
        pypdfium2.PdfiumError: it cannot be opened.
        FileNotFoundError: there is none.
    """
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(Path(path), password=password)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) != pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise
        if password is not None:
            raise InputError("wrong password", subject=path) from None
        raise InputError("encrypted", subject=path, setting="password") from None
    # Forms in XML (XFA) are not shown by PDFium; their pages are drawn as they are.
    if document.get_formtype() == pypdfium2.raw.FORMTYPE_ACRO_FORM:
        document.init_forms()
    return document


def flat_page(document: Any, number: int) -> Any:
    """A page of a document with its form fields and annotations made part of it, so that what
    they show can be read like the rest."""
    import pypdfium2.raw as pdfium

    page = document[number]
    if _shows_annotations(page) and pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY) == (
        pdfium.FLATTEN_SUCCESS
    ):
        page.close()
        page = document[number]
    return page


def turned_page(document: Any, number: int, quarters: int) -> Any:
    """A page with its content turned clockwise by quarters of a circle, and no rotation of its own.

    Raises:
        pypdfium2.PdfiumError: it cannot be turned.
    """
    import pypdfium2
    import pypdfium2.raw as pdfium

    page = document[number]
    left, bottom, right, top = page.get_bbox()
    width, height = right - left, top - bottom
    if quarters % 4:
        matrix = (
            (0, -1, 1, 0, -bottom, right),
            (-1, 0, 0, -1, right, top),
            (0, 1, -1, 0, top, -left),
        )[quarters % 4 - 1]
        if not pdfium.FPDFPage_TransFormWithClip(page, pdfium.FS_MATRIX(*matrix), None):
            raise pypdfium2.PdfiumError(f"page {number + 1} cannot be turned")
        size = (width, height) if quarters % 2 == 0 else (height, width)
        page.set_mediabox(0, 0, *size)
        page.set_cropbox(0, 0, *size)
    page.set_rotation(0)
    page.close()
    return document[number]


def _shows_annotations(page: Any) -> bool:
    import pypdfium2.raw as pdfium

    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        pdfium.FPDFPage_CloseAnnot(annotation)
        if kind not in _PLAIN_ANNOTATIONS:
            return True
    return False


def page_objects(page: Any) -> Iterator[tuple[Any, int, int]]:
    """The objects of a page, in the order in which they are drawn, those in forms after their form.

    Yields:
        (object, kind (FPDF_PAGEOBJ_…), how many forms it lies in).
    """
    import pypdfium2.raw as pdfium

    def within(form: Any, depth: int) -> Iterator[tuple[Any, int, int]]:
        for index in range(max(pdfium.FPDFFormObj_CountObjects(form), 0)):
            yield from one(pdfium.FPDFFormObj_GetObject(form, index), depth)

    def one(item: Any, depth: int) -> Iterator[tuple[Any, int, int]]:
        if item:
            kind = pdfium.FPDFPageObj_GetType(item)
            yield item, kind, depth
            if kind == pdfium.FPDF_PAGEOBJ_FORM and depth < MAX_DEPTH:
                yield from within(item, depth + 1)

    for index in range(max(pdfium.FPDFPage_CountObjects(page), 0)):
        yield from one(pdfium.FPDFPage_GetObject(page, index), 0)


def missing_fonts(page: Any) -> tuple[list[str], int, int]:
    """Fonts of a page that are neither in the file nor on this computer, by which it is drawn
    without its text.

    Returns:
        Their names, the characters that are not drawn, and all characters.
    """
    import pypdfium2.raw as pdfium

    absent: dict[int, bool] = {}
    for item, kind, _ in page_objects(page):
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            font = pdfium.FPDFTextObj_GetFont(item)
            key = address(font)
            if key and key not in absent:
                absent[key] = pdfium.FPDFFont_GetIsEmbedded(font) == 0
    if not any(absent.values()):
        return [], 0, 0
    textpage = page.get_textpage()
    names: dict[str, None] = {}
    lost = total = 0
    box = [c_double() for _ in range(4)]
    left, right, bottom, top = box
    pointers = [byref(value) for value in box]
    for index in range(textpage.count_chars()):
        item = pdfium.FPDFText_GetTextObject(textpage, index)
        if not item or pdfium.FPDFTextObj_GetTextRenderMode(item) == 3:
            continue
        code = pdfium.FPDFText_GetUnicode(textpage, index)
        if is_blank(code):
            continue
        total += 1
        font = pdfium.FPDFTextObj_GetFont(item)
        if not absent.get(address(font)):
            continue
        pdfium.FPDFText_GetCharBox(textpage, index, *pointers)
        if min(right.value - left.value, top.value - bottom.value) < FLAT:
            lost += 1
            names[font_name(font)] = None
    textpage.close()
    return list(names), lost, total


FLAT = 0.05
"""Points: PDFium gives less as the height of a glyph that is not there."""


def is_blank(code: int) -> bool:
    """Whether a character shows nothing: spaces, controls, marks of direction."""
    return code > 0x10FFFF or unicodedata.category(chr(code))[0] in "ZC"


def font_name(font: Any) -> str:
    """The name of a font in its file."""
    import pypdfium2.raw as pdfium

    length = pdfium.FPDFFont_GetBaseFontName(font, None, 0)
    buffer = create_string_buffer(max(length, 1))
    pdfium.FPDFFont_GetBaseFontName(font, buffer, length)
    return buffer.value.decode("utf-8", "replace") or "without a name"


def address(pointer: Any) -> int:
    """What tells a PDFium object from others; 0 for none."""
    from ctypes import c_void_p, cast

    return cast(pointer, c_void_p).value or 0 if pointer else 0
