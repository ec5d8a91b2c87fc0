"""The words of a born-digital PDF, straight from its text layer."""

from __future__ import annotations

import math
import os

import numpy as np

from lmv3det.data.pdf import PDFIUM, flat_page, open_pdf, turned_page
from lmv3det.errors import InputError
from lmv3det.ocr.engine import Engine, enclosing_lines
from lmv3det.ocr.pdf_chars import read_chars, text_quarters
from lmv3det.ocr.pdf_lines import assemble
from lmv3det.ocr.pdf_shown import shown_chars, survey
from lmv3det.ocr.pdf_trust import doubt, is_known, mark_unknown
from lmv3det.text.ocr_json import OcrPage


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
        return self.read_layer(path, number, dpi, password)[0]

    def read_layer(
        self, path: str | os.PathLike, number: int, dpi: int, password: str | None = None
    ) -> tuple[OcrPage, str]:
        """As `read_pdf`, and why the lines are not what the page shows; empty where they are.

        Raises:
            InputError: the file or the page cannot be read.
        """
        import pypdfium2

        try:
            with PDFIUM, open_pdf(path, password) as document:
                page = flat_page(document, number)
                if not all(page.get_size()):
                    raise InputError(f"{path}: page {number + 1} has no size")
                textpage = page.get_textpage()
                chars = read_chars(page, textpage)
                rotation, quarters = page.get_rotation() // 90, text_quarters(chars)
                if len(chars) and (rotation or quarters):
                    # PDFium's order and ends of lines are best of text along the file's x axis.
                    textpage.close()
                    page.close()
                    page = turned_page(document, number, quarters)
                    textpage = page.get_textpage()
                    page.set_rotation(90 * ((rotation - quarters) % 4))
                    chars = read_chars(page, textpage)
                layout = survey(page, chars)
                shown = shown_chars(page, chars, layout)
                textpage.close()
                page.close()
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (pypdfium2.PdfiumError, IndexError) as error:
            raise InputError(f"{path}: page {number + 1} cannot be read ({error})") from None
        mark_unknown(chars)
        lines = assemble(chars, shown)
        why = doubt(chars, shown, lines, layout.pictures)
        known = [line for line in lines if is_known(line, garbled=True)]
        if 2 * len(known) > len(lines):
            known = [line for line in lines if is_known(line, garbled=False)]
        lines = known
        # The size that a page drawn by pypdfium2 has.
        width, height = (math.ceil(side * dpi / 72) for side in chars.size)
        scale = np.array([width / chars.size[0], height / chars.size[1]])
        corners = [np.array(line.box).reshape(2, 2) * scale for line in lines]
        return enclosing_lines(corners, [line.text for line in lines], (height, width)), why
