"""Tables from hand-made text and ruling lines."""

from __future__ import annotations

import numpy as np

from lmv3det.documents.html import html_table
from lmv3det.documents.lines import Line, Word
from lmv3det.documents.markdown import pipe_table
from lmv3det.documents.tables import find_table, part_of_line, table_from_json, table_to_json


def piece(text: str, x: float, y: float, width: float = 0) -> Line:
    """A line whose words are equally wide."""
    words = text.split()
    step = (width or 6 * len(text)) / len(words)
    places = [
        Word(word, (x + k * step, y, x + (k + 0.8) * step, y + 10)) for k, word in enumerate(words)
    ]
    return Line(text, (x, y, x + step * len(words), y + 10), 10, [], places)


def across(y: float, x0: float, x1: float) -> list[float]:
    return [x0, y, x1, y]


def down(x: float, y0: float, y1: float) -> list[float]:
    return [x, y0, x, y1]


def test_a_grid_of_ruling_lines_with_merged_cells():
    rules = np.array(
        [
            across(0, 0, 300), across(20, 100, 300), across(40, 0, 300), across(60, 0, 300),
            down(0, 0, 60), down(100, 0, 60), down(200, 20, 60), down(300, 0, 60),
        ]
    )  # fmt: skip
    lines = [
        piece("Name", 10, 15), piece("Both", 150, 5), piece("a", 110, 25), piece("b", 210, 25),
        piece("x y", 10, 45), piece("1", 110, 45), piece("2", 210, 45),
    ]  # fmt: skip
    table = find_table((0, 0, 300, 60), lines, rules)
    assert table is not None and (table.rows, table.columns) == (3, 3)
    found = [(c.row, c.column, c.rows, c.columns, c.text) for c in table.cells]
    assert found == [
        (0, 0, 2, 1, "Name"), (0, 1, 1, 2, "Both"), (1, 1, 1, 1, "a"), (1, 2, 1, 1, "b"),
        (2, 0, 1, 1, "x y"), (2, 1, 1, 1, "1"), (2, 2, 1, 1, "2"),
    ]  # fmt: skip
    text = html_table(table)
    assert '<th rowspan="2">Name</th><th colspan="2">Both</th>' in text
    assert "<td>x y</td><td>1</td><td>2</td>" in text
    assert pipe_table(table).splitlines()[:3] == [
        "| Name | Both |  |",
        "|---|---|---|",
        "|  | a | b |",
    ]
    again = table_from_json(table_to_json(table))
    assert html_table(again) == text


def test_a_line_that_a_rule_divides_goes_into_two_cells():
    rules = np.array(
        [across(0, 0, 200), across(20, 0, 200), across(40, 0, 200),
         down(0, 0, 40), down(100, 0, 40), down(200, 0, 40)]
    )  # fmt: skip
    lines = [piece("left right", 10, 5, 180), piece("a", 10, 25), piece("b", 110, 25)]
    table = find_table((0, 0, 200, 40), lines, rules)
    assert table is not None
    assert [cell.text for cell in table.cells] == ["left", "right", "a", "b"]


def test_values_below_one_another_without_a_rule_are_rows():
    rules = np.array(
        [across(0, 0, 300), across(20, 0, 300), across(50, 0, 300),
         *(down(x, 0, 50) for x in (0, 100, 200, 300))]
    )  # fmt: skip
    lines = [
        piece("n", 10, 5), piece("kind", 110, 5), piece("score", 210, 5), piece("6", 10, 30),
        piece("old", 110, 23), piece("new", 110, 36), piece("0.9", 210, 23), piece("0.8", 210, 36),
        piece("1", 230, 23), piece("2", 230, 36),
    ]  # fmt: skip
    table = find_table((0, 0, 300, 50), lines, rules)
    assert table is not None
    found = [(c.row, c.column, c.rows, c.text) for c in table.cells if c.row]
    assert found == [
        (1, 0, 2, "6"), (1, 1, 1, "old"), (1, 2, 1, "0.9 1"), (2, 1, 1, "new"), (2, 2, 1, "0.8 2"),
    ]  # fmt: skip
    words = [*lines[:4], piece("a word more", 110, 23), piece("than two", 110, 36), *lines[6:]]
    kept = find_table((0, 0, 300, 50), words, rules)
    assert kept is not None and kept.rows == 2


def test_columns_without_ruling_lines_and_a_row_of_two_lines():
    lines = [
        piece("City", 0, 0), piece("Notes", 120, 0), piece("Size", 240, 0),
        piece("Bonn", 0, 20), piece("on the", 120, 20), piece("3", 240, 20),
        piece("Rhine", 120, 32),
        piece("Kiel", 0, 52), piece("sea", 120, 52), piece("2", 240, 52),
    ]  # fmt: skip
    table = find_table((0, 0, 300, 70), lines, np.zeros((0, 4)))
    assert table is not None
    assert [[cell.text for cell in row] for row in table.grid()] == [
        ["City", "Notes", "Size"], ["Bonn", "on the Rhine", "3"], ["Kiel", "sea", "2"]
    ]  # fmt: skip
    assert [cell.header for cell in table.cells] == [True] * 3 + [False] * 6


def test_rules_of_a_book_part_the_head_and_a_title_covers_two_columns():
    lines = [
        piece("Set", 0, 0), piece("Score of both models", 120, 0, 90),
        piece("old", 100, 14), piece("new", 200, 14),
        *(piece(text, x, 30 + 14 * k) for k, row in enumerate(("abc", "def", "ghi", "jkl"))
          for text, x in zip(row, (0, 100, 200), strict=True)),
    ]  # fmt: skip
    rules = np.array([across(-4, 0, 240), across(27, 0, 240), across(90, 0, 240)])
    table = find_table((0, -5, 245, 90), lines, rules)
    assert table is not None and (table.rows, table.columns) == (6, 3)
    wide = next(cell for cell in table.cells if cell.text.startswith("Score"))
    assert (wide.row, wide.column, wide.columns) == (0, 1, 2)
    assert {cell.row for cell in table.cells if cell.header} == {0, 1}


def test_running_text_is_no_table():
    lines = [piece("words that go on and on", 0, 12 * k, 200) for k in range(5)]
    assert find_table((0, 0, 200, 60), lines, np.zeros((0, 4))) is None
    assert find_table((0, 0, 200, 60), [], np.zeros((0, 4))) is None


def test_every_piece_of_text_is_in_one_cell():
    rng = np.random.default_rng(0)
    for trial in range(60):
        lines = [
            piece(f"w{k}", float(rng.integers(0, 280)), float(rng.integers(0, 30)) * 6)
            for k in range(int(rng.integers(1, 25)))
        ]
        rules = np.array(
            [across(float(y), 0, 300) for y in rng.integers(0, 190, rng.integers(0, 6))]
            + [down(float(x), 0, 190) for x in rng.integers(0, 300, rng.integers(0, 6))]
        ).reshape(-1, 4)
        table = find_table((0, 0, 300, 190), lines, rules)
        if table is None:
            continue
        words = sorted(word for cell in table.cells for word in cell.text.split())
        assert words == sorted(line.text for line in lines), trial
        covered = np.zeros((table.rows, table.columns), dtype=int)
        for c in table.cells:
            covered[c.row : c.row + c.rows, c.column : c.column + c.columns] += 1
        assert (covered == 1).all(), trial


def test_part_of_a_line():
    own = part_of_line(piece("one two three", 0, 0, 90), 1, 3)
    assert own.text == "two three" == "".join(span.text for span in own.spans)
    assert own.box[0] == 30
