"""OCR files: the format, clamping, corner points, every malformed entry."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from lmv3det.errors import InputError
from lmv3det.text.ocr_json import OcrPage, ocr_path, ocr_text, read_ocr, write_ocr


def write(tmp_path, bbox, words, **more):
    path = tmp_path / "page.json"
    content = {"bbox": bbox, "words": words, "W": 100, "H": 200, **more}
    text = json.dumps(content, ensure_ascii=False)
    path.write_bytes(text.encode("utf-8", "backslashreplace"))  # a lone surrogate as JSON escape
    return path


def test_read(tmp_path):
    page = read_ocr(write(tmp_path, [[10, 20, 30, 5.5], [0, 0, 100, 200]], ["一 line", ""]))
    assert page.boxes.tolist() == [[10, 20, 40, 25.5], [0, 0, 100, 200]]
    assert page.boxes.dtype == np.float64 and page.lines == ["一 line", ""]
    assert (page.width, page.height, page.clamped, page.skipped) == (100, 200, 0, 0)


def test_page_without_text(tmp_path):
    page = read_ocr(write(tmp_path, [], []))
    assert page.boxes.shape == (0, 4) and page.lines == []


def test_boxes_that_stick_out_a_little_are_clamped_and_counted(tmp_path):
    bbox = [[-2, -4, 50, 50], [60, 150, 42, 54], [10, 10, 10, 10]]
    page = read_ocr(write(tmp_path, bbox, ["a", "b", "c"]))
    assert page.boxes.tolist() == [[0, 0, 48, 46], [60, 150, 100, 200], [10, 10, 20, 20]]
    assert page.clamped == 2


def test_four_corners_give_the_enclosing_box(tmp_path):
    corners = [[20, 10], [60, 30], [58, 36], [18, 16]]  # a line that rises to the right
    flat = [value for point in corners for value in point]
    page = read_ocr(write(tmp_path, [corners, flat], ["a", "b"]))
    assert page.boxes.tolist() == [[18, 10, 60, 36]] * 2


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ([1, 2, 3], "a"),
        ([1, 2, float("nan"), 4], "a"),
        ([1, 2, float("inf"), 4], "a"),
        ([1, 2, "3", 4], "a"),
        ([1, 2, True, 4], "a"),
        ([1, 2, -3, 4], "a"),
        ([-3, 2, 30, 4], "a"),
        ([98, 2, 5, 4], "a"),
        ([1, 196, 5, 9], "a"),
        (None, "a"),
        ({}, "a"),
        ([1, 2, 3, 4], "half \ud83d of a character"),
        ([1, 2, 3, 4], None),
        ([1, 2, 3, 4], 5),
        ([[1, 2], [3, 4], [5, 6]], "a"),
    ],
)
def test_malformed_entries(tmp_path, entry, word):
    path = write(tmp_path, [[10, 10, 5, 5], entry, [20, 10, 5, 5]], ["x", word, "y"])
    with pytest.raises(InputError, match=r"page\.json: entry 1") as error:
        read_ocr(path)
    assert "data.malformed_ocr=skip" in str(error.value)
    page = read_ocr(path, malformed="skip")
    assert page.lines == ["x", "y"] and page.skipped == 1
    assert page.boxes.tolist() == [[10, 10, 15, 15], [20, 10, 25, 15]]


@pytest.mark.parametrize(
    ("content", "says", "skipped"),
    [
        (b"", "not JSON", 1),
        (b"{", "not JSON", 1),
        (b"[" * 100_000, "not JSON", 1),
        (b"\xff\xfe{}", "not UTF-8", 1),
        (b"[1]", "not an object", 1),
        (b'{"words": [], "W": 1, "H": 1}', "bbox must be a list", 1),
        (b'{"bbox": [], "words": ["a", "b"], "W": 1, "H": 1}', "0 entries and words 2", 2),
        (b'{"bbox": [], "words": [], "W": 0, "H": 1}', "W is 0", 1),
        (b'{"bbox": [], "words": [], "W": 5}', "H is None", 1),
        (b'{"bbox": [], "words": [], "W": 5, "H": NaN}', "H is nan", 1),
    ],
)
def test_files_that_do_not_fit_together(tmp_path, content, says, skipped):
    path = tmp_path / "page.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_ocr(path)
    assert says in str(error.value) and "page.json" in str(error.value)
    assert "\n" not in str(error.value)
    page = read_ocr(path, malformed="skip")
    assert page.boxes.shape == (0, 4) and page.skipped == skipped and page.width == 0


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such OCR file"):
        read_ocr(tmp_path / "none.json", malformed="skip")


def test_byte_order_mark(tmp_path):
    path = tmp_path / "page.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"bbox": [], "words": [], "W": 5, "H": 6}')
    assert read_ocr(path).height == 6


def test_write_then_read(tmp_path):
    words = ['say "hi"', "图 1\n", "\u2028", ""]
    boxes = np.array([[1, 2, 30.25, 40.5], [0, 0, 100, 200], [5, 5, 6, 6], [7, 7, 7, 8]])
    path = tmp_path / "new" / "page.json"
    write_ocr(path, OcrPage(boxes, words, 100, 200))
    page = read_ocr(path)
    assert page.lines == words and (page.width, page.height) == (100, 200)
    np.testing.assert_allclose(page.boxes, boxes)
    text = path.read_text(encoding="utf-8")
    assert "图 1" in text and len(text.splitlines()) >= 8  # an entry a line, readable
    assert [p.name for p in path.parent.iterdir()] == ["page.json"]


def test_write_without_lines(tmp_path):
    write_ocr(tmp_path / "p.json", OcrPage(np.zeros((0, 4)), [], 10, 20))
    assert read_ocr(tmp_path / "p.json").lines == []


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.json"
    write_ocr(path, OcrPage(np.zeros((0, 4)), [], 10, 20))
    bad = OcrPage(np.array([[0, 0, 1, 1.0]]), ["\ud800"], 10, 20)  # a lone surrogate
    with pytest.raises(UnicodeEncodeError):
        write_ocr(path, bad)
    with pytest.raises(ValueError, match="1 boxes for 0 lines"):
        write_ocr(path, OcrPage(np.array([[0, 0, 1, 1.0]]), [], 10, 20))
    assert read_ocr(path).height == 20 and len(list(tmp_path.iterdir())) == 1


def test_ocr_path(tmp_path):
    (tmp_path / "sub").mkdir()
    assert ocr_path(tmp_path, "sub/12.jpg") == tmp_path / "sub" / "12.json"
    assert ocr_path(tmp_path, "other/12.jpg") == tmp_path / "12.json"
    assert ocr_path(tmp_path / "sub", "../12.jpg") == tmp_path / "sub" / "12.json"
    assert ocr_path(tmp_path, tmp_path / "sub" / "12.jpg") == tmp_path / "12.json"
    assert str(ocr_path("OCR", "sub/12.tar_x_1.jpg")) == "OCR/12.tar_x_1.json"


def test_real_files(lmv3det_data):
    files = sorted(lmv3det_data.glob("*/OCR/*.json"))
    assert len(files) == 84
    for path in files:
        page = read_ocr(path)
        assert len(page.lines) == len(page.boxes) > 0
        assert page.skipped == 0


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    for name, says in (("pipe.json", "not a regular file"), (".", "a folder"), ("x" * 300, "long")):
        with pytest.raises(InputError, match=says):
            read_ocr(tmp_path / name, malformed="skip")


def test_whole_numbers_are_written_as_such(tmp_path):
    page = OcrPage(np.array([[1, 2, 30, 40.256]]), ["x"], 100, 200)
    assert ocr_text(page).splitlines()[1] == "[1, 2, 29, 38.26]"
