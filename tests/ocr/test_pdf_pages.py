"""What is read of PDF pages: lines in every direction, and what the page shows alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from lmv3det.data.images import iter_pages
from lmv3det.ocr.engine import Engine, enclosing_lines
from lmv3det.ocr.engines import Auto
from lmv3det.ocr.pdf_text import PdfText
from lmv3det.text.ocr_json import OcrPage
from tests.hand_made_pdf import words, write_pdf
from tests.turned_pdf import turn_pdf

CASES = Path(__file__).parents[1] / "cases"
KEEPER = 7
"""Lines of the page that many of the cases share."""


def read(path: Path, dpi: int = 72) -> OcrPage:
    return PdfText().read_pdf(path, 0, dpi)


def turned(content: str, degrees: int, width: int = 300, height: int = 400) -> str:
    """Content as it must be drawn for a page with /Rotate to be shown upright."""
    matrix = {
        0: "1 0 0 1 0 0",
        90: f"0 1 -1 0 {height} 0",
        180: f"-1 0 0 -1 {width} {height}",
        270: f"0 -1 1 0 0 {width}",
    }[degrees]
    return f"q {matrix} cm {content} Q"


@pytest.mark.parametrize("name", ["rotate90", "rotate270"])
def test_a_rotated_page_has_the_lines_of_the_upright_one(name):
    plain, rotated = (
        read(CASES / "rotated_page/plain.pdf"),
        read(CASES / f"rotated_page/{name}.pdf"),
    )
    assert rotated.lines == plain.lines
    np.testing.assert_allclose(rotated.boxes, plain.boxes, atol=1.5)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_columns_and_gaps_of_rotated_pages(tmp_path, degrees):
    content = "".join(
        words(30, 350 - 20 * k, f"left line {k}") + words(170, 350 - 20 * k, f"right line {k}")
        for k in range(8)
    )
    box = "0 0 300 400" if degrees == 180 else "0 0 400 300"
    plain = read(write_pdf(tmp_path / "a.pdf", content))
    path = write_pdf(tmp_path / "b.pdf", turned(content, degrees), rotate=degrees, box=box)
    rotated = read(path)
    assert (rotated.width, rotated.height) == (300, 400)
    assert sorted(rotated.lines) == sorted(plain.lines)
    assert len(plain.lines) == 16
    by_text = dict(zip(plain.lines, plain.boxes, strict=True))
    for line, found in zip(rotated.lines, rotated.boxes, strict=True):
        np.testing.assert_allclose(found, by_text[line], atol=0.6)


UPRIGHT = sorted(
    path.relative_to(CASES).with_suffix("").as_posix()
    for folder in (
        "divided_words", "double_struck", "hidden_layer", "hidden_text", "odd_unicode",
        "right_to_left", "sideways_text", "vertical_writing",
    )
    for path in (CASES / folder).glob("*.pdf")
)  # fmt: skip


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("case", UPRIGHT)
def test_the_rotation_of_a_page_changes_no_line(tmp_path, case, degrees):
    plain = read(CASES / f"{case}.pdf")
    rotated = read(turn_pdf(CASES / f"{case}.pdf", 0, degrees, tmp_path / "a.pdf"))
    assert rotated.lines == plain.lines
    np.testing.assert_allclose(rotated.boxes, plain.boxes, atol=1.0)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_the_rotation_of_real_pages_changes_no_line(tmp_path, degrees, lmv3det_data):
    for path in sorted((lmv3det_data / "pdf").glob("*.pdf")):
        plain = read(path)
        rotated = read(turn_pdf(path, 0, degrees, tmp_path / "a.pdf"))
        assert rotated.lines == plain.lines, path
        np.testing.assert_allclose(rotated.boxes, plain.boxes, atol=1.0)


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("case", [case for case in UPRIGHT if "sideways" not in case])
def test_a_page_of_sideways_text_has_the_lines_of_the_upright_one(tmp_path, case, degrees):
    plain = read(CASES / f"{case}.pdf")
    turned_page = turn_pdf(CASES / f"{case}.pdf", 0, degrees, tmp_path / "a.pdf", rotate=False)
    assert read(turned_page).lines == plain.lines


def test_a_line_that_the_file_ends_within_a_word(tmp_path):
    """PDFium ends a line at a numerator that stands high."""
    content = (
        words(40, 300, "from 1", 12)
        + words(76, 304, "3", 7)
        + words(79, 301, "/", 10)
        + words(82, 299, "4 inch on")
        + words(40, 280, "another line of it")
    )
    lines = read(write_pdf(tmp_path / "a.pdf", content)).lines
    assert [line.replace(" ", "") for line in lines] == ["from13/4inchon", "anotherlineofit"]


def test_text_on_its_side_is_a_line():
    lines = read(CASES / "sideways_text/stamp.pdf").lines
    assert lines[0] == "coast:0107.0042v3 [sea.TD] 4 Jul 2001"
    assert len(lines) == 32


@pytest.mark.parametrize("degrees", [-45, -20, 5, 15, 30, 45, 90, 135, 180, 270])
def test_leaning_text_is_a_line(tmp_path, degrees):
    turn = np.radians(degrees)
    a, b = np.cos(turn), np.sin(turn)
    content = "".join(
        f"BT /F 12 Tf {a:.4f} {b:.4f} {-b:.4f} {a:.4f} {150 + 20 * k * b:.2f} "
        f"{200 - 20 * k * a:.2f} Tm ({text}) Tj ET\n"
        for k, text in enumerate(("a slanting line", "and the next one"))
    )
    page = read(write_pdf(tmp_path / "a.pdf", content))
    assert sorted(page.lines) == ["a slanting line", "and the next one"]


def test_scripts_from_the_right():
    hebrew, arabic = (
        read(CASES / "right_to_left/hebrew.pdf"),
        read(CASES / "right_to_left/arabic.pdf"),
    )
    assert hebrew.lines[0] == "הנמל הקטן" and len(hebrew.lines) == 10
    assert arabic.lines[0] == "الميناء الصغير" and len(arabic.lines) == 10


def test_the_letters_of_an_arabic_ligature_are_in_their_order(lmv3det_data):
    lines = read(lmv3det_data / "pdf" / "right_to_left_01.pdf").lines
    assert lines[0].startswith("تحسين الإنتاجية وحل المشكلات من خلال البرمجة")


def test_columns_downwards():
    page = read(CASES / "vertical_writing/vertical.pdf")
    assert page.lines[:2] == ["春天的港口很安静", "船在早晨出海晚上"] and len(page.lines) == 10
    assert (np.diff(page.boxes[:, 0]) < 0).all()


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("german", "Die Übergänge", 95),
        ("french", "Les établisse-", 60),
        ("russian", "Изменения уров-", 85),
    ],
)
def test_the_wide_gaps_of_justified_lines(name, first, count):
    lines = read(CASES / f"divided_words/{name}.pdf").lines
    assert lines[0] == first
    assert len(lines) == count


def test_the_gaps_of_tables_and_columns_stay(tmp_path):
    """Also where the file has spaces, a title stands above, and cells differ in length."""
    rows = [
        ("Harbour ", "depth"),
        ("Northern basin ", "12"),
        ("Quay ", "7"),
        ("Old dock of 1870 ", "115"),
    ]
    content = words(40, 360, "All basins of the harbour and how deep they are") + "".join(
        words(40, 340 - 15 * k, left) + words(220, 340 - 15 * k, right)
        for k, (left, right) in enumerate(rows)
    )
    lines = read(write_pdf(tmp_path / "a.pdf", content)).lines
    assert lines[1:] == [cell.strip() for row in rows for cell in row]


@pytest.mark.parametrize("name", ["by_letter", "by_line", "by_page", "by_page_moved"])
def test_text_that_is_drawn_twice_is_read_once(name):
    once = read(CASES / "double_struck/once.pdf").lines
    assert read(CASES / f"double_struck/{name}.pdf").lines == once


def test_letters_that_stand_twice_are_kept(tmp_path):
    text = "llll iiii .... book, ''offer'' 111"
    assert read(write_pdf(tmp_path / "a.pdf", words(40, 300, text))).lines[0].replace(
        " ", ""
    ) == text.replace(" ", "").replace("'", "’")


@pytest.mark.parametrize("name", ["behind", "clipped", "layer_off", "none", "tiny", "white"])
def test_what_is_hidden_is_not_read(name):
    lines = read(CASES / f"hidden_text/{name}.pdf").lines
    assert len(lines) == KEEPER
    assert not any("DRAFT" in line for line in lines)


def test_the_text_of_a_scan_is_read():
    assert any("DRAFT" in line for line in read(CASES / "hidden_text/mode3.pdf").lines)


def test_a_layer_that_is_off_below_one_that_is_on():
    one, two = (
        read(CASES / f"hidden_layer/{name}_language{s}.pdf")
        for name, s in (("one", ""), ("two", "s"))
    )
    assert two.lines == one.lines


@pytest.mark.parametrize(
    ("ground", "colour", "seen"),
    [("0 g", "1 g", True), ("0 g", "0 g", False), ("1 0 0 rg", "1 0 0 rg", False),
     ("1 0 0 rg", "1 1 1 rg", True), ("1 g", "0.98 g", False), ("0.9 g", "0.5 g", True)],
)  # fmt: skip
def test_text_in_the_colour_of_its_ground(tmp_path, ground, colour, seen):
    content = words(40, 350, "plain") + f"{ground} 30 280 200 50 re f {colour} "
    page = read(write_pdf(tmp_path / "a.pdf", content + words(40, 300, "on a ground")))
    assert page.lines == ["plain", "on a ground"][: 1 + seen]


def test_a_line_that_is_clipped_in_part(tmp_path):
    content = "q 0 0 100 400 re W n " + words(40, 300, "shown and then hidden") + "Q"
    (line,) = read(write_pdf(tmp_path / "a.pdf", content)).lines
    assert line.startswith("shown") and "hidden" not in line


def test_filled_form_fields_are_drawn_and_read():
    filled, flat = CASES / "form_fields/filled.pdf", CASES / "form_fields/flat.pdf"
    assert sorted(read(filled).lines) == sorted(read(flat).lines)
    drawn = [next(iter(iter_pages(path, 72)))[1] for path in (filled, flat)]
    assert (drawn[0] < 128).sum() == pytest.approx((drawn[1] < 128).sum(), rel=0.02)


@pytest.mark.parametrize("name", ["four_bytes", "three_bytes"])
def test_an_impossible_code_costs_one_character(name):
    lines = read(CASES / f"odd_unicode/{name}.pdf").lines
    assert set(read(CASES / "odd_unicode/without.pdf").lines) <= set(lines)


class Reads(Engine):
    def recognize(self, image: np.ndarray) -> OcrPage:
        return enclosing_lines([[(1, 1), (9, 9)]], ["by the engine"], image.shape[:2])


@pytest.mark.parametrize(
    ("case", "why"),
    [("scan_with_stamp/stamped", "11 characters only"), ("scan_with_stamp/scan", ""),
     ("garbled_layer/garbled", "have no meaning")],
)  # fmt: skip
def test_auto_weighs_the_layer(case, why, monkeypatch, caplog):
    engine = Auto()
    monkeypatch.setattr(engine, "_other", Reads())
    with caplog.at_level(logging.WARNING):
        page = engine.read_pdf(CASES / f"{case}.pdf", 0, 36)
    assert page.lines == ["by the engine"]
    assert why in caplog.text


@pytest.mark.parametrize(
    "case", ["rotated_page/plain", "hidden_text/mode3", "right_to_left/hebrew"]
)
def test_auto_trusts_layers_of_text(case, monkeypatch):
    engine = Auto()
    monkeypatch.setattr(engine, "_other", Reads())
    assert len(engine.read_pdf(CASES / f"{case}.pdf", 0, 36).lines) > 1


def test_a_garbled_layer_is_no_text():
    assert read(CASES / "garbled_layer/garbled.pdf").lines == []
