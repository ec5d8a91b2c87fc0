"""The order of lines and regions follows the script; words are joined in every alphabet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmv3det.documents.reading import lines_of_regions, region_order
from lmv3det.documents.text import join_lines
from lmv3det.ocr.pdf_text import PdfText
from lmv3det.text.reading_order import reading_order, text_direction

CASES = Path(__file__).parents[1] / "cases"


def page(name: str):
    return PdfText().read_pdf(CASES / f"{name}.pdf", 0, 72)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("right_to_left/hebrew", "left"),
        ("right_to_left/arabic", "left"),
        ("vertical_writing/vertical", "columns"),
        ("rotated_page/rotate90", "right"),
        ("divided_words/russian", "right"),
    ],
)
def test_direction_of_a_page(name, direction):
    found = page(name)
    assert text_direction(found.lines, found.boxes) == direction


def test_columns_of_hebrew_are_read_from_the_right():
    found = page("right_to_left/hebrew_columns")
    order = reading_order(found.boxes, found.width, direction="left")
    centres = found.boxes[order][:, [0, 2]].mean(axis=1)
    assert (centres[:13] > found.width / 2).all() and (centres[13:] < found.width / 2).all()
    columns = np.array([[50.0, 50, 280, 300], [300, 50, 510, 300], [50, 10, 510, 40]])
    assert region_order(columns, "left").tolist() == [2, 1, 0]
    assert region_order(columns).tolist() == [2, 0, 1]


def test_vertical_columns_are_read_from_the_right():
    found = page("vertical_writing/vertical")
    shuffled = np.random.default_rng(0).permutation(len(found.lines))
    boxes = found.boxes[shuffled]
    texts = [found.lines[k] for k in shuffled]
    region = np.array([[0.0, 0, found.width, found.height]])
    (members,) = lines_of_regions(region, boxes, texts)
    assert [texts[k] for k in members] == found.lines


def test_lines_of_a_page_on_its_side():
    boxes = np.array([[10.0 + 20 * k, 50, 20 + 20 * k, 250] for k in range(5)])
    texts = [f"line number {k}" for k in range(5)]
    assert text_direction(texts, boxes) == "sideways"
    assert reading_order(boxes[::-1], 300, direction="sideways").tolist() == [4, 3, 2, 1, 0]
    assert text_direction(texts, boxes[::-1]) == "columns"  # turned the other way


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["Изменения уров-", "ня воды"], "Изменения уровня воды"),
        (["aménagements ré\u2010", "cents"], "aménagements récents"),
        (["Über\u00ad", "schwemmungen"], "Überschwemmungen"),
        (["Küsten-", "gewässer"], "Küstengewässer"),
        (["μεταβο-", "λή"], "μεταβολή"),
        (["re\u0301-", "cents"], "re\u0301cents"),
        (["Paris-", "Lyon"], "Paris-Lyon"),
        (["pages 3-", "4"], "pages 3-4"),
        (["תל-", "אביב"], "תל- אביב"),
        (["well -", "known"], "well - known"),
    ],
)
def test_divided_words(lines, text):
    assert join_lines(lines) == text
