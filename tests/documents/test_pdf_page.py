"""What a PDF says of its letters, ruling lines and links, from files written by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made_pdf import write_pdf

from lmv3det.documents.lines import Line
from lmv3det.documents.markdown import markdown
from lmv3det.documents.page import Region, page_content
from lmv3det.documents.pdf_page import read_pdf_page
from lmv3det.documents.whole import build_document


def text(x: float, y: float, content: str, size: float = 12) -> str:
    return f"BT /F {size} Tf 1 0 0 1 {x} {y} Tm ({content}) Tj ET\n"


@pytest.fixture
def table_pdf(tmp_path):
    """A line above a table of 2×3 cells of 80×20 points, whose upper left corner is at 30, 300."""
    rules = "".join(f"30 {y} m 190 {y} l S\n" for y in (300, 280, 260, 240))
    rules += "".join(f"{x} 240 m {x} 300 l S\n" for x in (30, 110, 190))
    cells = [("Name", "Size"), ("one", "1"), ("two words", "2")]
    content = "".join(
        text(35 + 80 * c, 285 - 20 * r, cell)
        for r, row in enumerate(cells)
        for c, cell in enumerate(row)
    )
    content += text(30, 350, "Above the table.")
    return write_pdf(tmp_path / "table.pdf", rules + content)


def test_ruling_lines_in_pixels_of_the_page(table_pdf):
    page = read_pdf_page(table_pdf, 0, 600, 800)  # 2 pixels a point
    flat = page.rules[page.rules[:, 1] == page.rules[:, 3]]
    np.testing.assert_allclose(sorted(flat[:, 1]), [200, 240, 280, 320], atol=0.1)
    np.testing.assert_allclose(flat[:, [0, 2]], [[60, 380]] * 4, atol=0.1)
    assert len(page.rules) == 7


def test_boxes_give_their_sides_and_curves_none(tmp_path):
    drawn = "30 40 100 50 re S\n0.5 g 30 200 100 1 re f\n10 10 m 50 90 90 90 120 10 c S\n"
    page = read_pdf_page(write_pdf(tmp_path / "a.pdf", drawn + text(30, 300, "x")), 0, 300, 400)
    found = sorted(tuple(rule) for rule in page.rules.round(1).tolist())
    assert found == [
        (30, 199.5, 130, 199.5), (30, 310, 30, 360), (30, 310, 130, 310), (30, 360, 130, 360),
        (130, 310, 130, 360),
    ]  # fmt: skip


def test_words_have_their_places_and_letters_their_size(table_pdf):
    page = read_pdf_page(table_pdf, 0, 600, 800)
    line = next(line for line in page.lines if line.text == "two words")
    assert [word.text for word in line.words] == ["two", "words"]
    first, second = (word.box for word in line.words)
    assert 70 <= first[0] < first[2] < second[0] < second[2] <= line.box[2] + 0.1
    assert line.size == pytest.approx(24)
    assert "".join(span.text for span in line.spans) == "two words"


def test_small_raised_letters_are_superscripts(tmp_path):
    drawn = text(30, 300, "Area in m") + text(82, 304, "2", 7) + text(90, 300, "of H")
    drawn += text(112, 298, "2", 7) + text(116.5, 300, "O")
    (line,) = read_pdf_page(write_pdf(tmp_path / "a.pdf", drawn), 0, 300, 400).lines
    scripts = [(span.text, span.style.script) for span in line.spans if span.style.script]
    assert scripts == [("2", "super"), ("2", "sub")]


def test_a_table_of_a_pdf_in_markdown(table_pdf):
    page = read_pdf_page(table_pdf, 0, 600, 800)
    region = Region("Table", (58, 198, 382, 322), 0)
    content = page_content(1, (600, 800), [region], page.lines, page.rules)
    assert markdown(build_document([content]), page_marks=False) == (
        "Above the table.\n\n| Name | Size |\n|---|---|\n| one | 1 |\n| two words | 2 |\n"
    )


def test_lines_without_styles_are_plain():
    line = Line("plain", (0, 0, 10, 10))
    assert not line.bold and not line.mono and [span.text for span in line.styled()] == ["plain"]
