"""Tables."""

from __future__ import annotations

from lmv3det.evaluation.tables import (
    class_table,
    markdown_table,
    metrics_tables,
    number,
)


def test_numbers():
    assert number(89.349) == "89.3"
    assert number(0.0) == "0.0"
    assert number(None) == "–"


def test_columns_are_aligned_also_with_wide_characters():
    table = markdown_table(["class", "AP"], [["正文", "9.5"], ["a|b", "100.0"]])
    assert table.splitlines() == [
        "| class |    AP |",
        "| ----- | ----: |",
        "| 正文  |   9.5 |",
        "| a\\|b  | 100.0 |",
    ]


def test_table_by_class():
    row = {"AP": 1.0, "AP50": 2.0, "AP75": 3.0, "AR100": 4.0}
    empty = dict.fromkeys(row)
    metrics = {
        **row,
        "per_class": {"Text": {**row, "count": 12}, "Table": {**empty, "count": 0}},
    }
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in
             class_table(metrics).splitlines()]  # fmt: skip
    assert lines[0] == ["class", "AP", "AP50", "AP75", "AR100", "count"]
    assert lines[2] == ["Text", "1.0", "2.0", "3.0", "4.0", "12"]
    assert lines[3] == ["Table", "–", "–", "–", "–", "0"]
    assert lines[4] == ["all", "1.0", "2.0", "3.0", "4.0", "12"]
    both = metrics_tables({"bbox": metrics, "segm": metrics})
    assert both.index("Boxes") < both.index("Masks")
    assert both.count("| Text") == 2
