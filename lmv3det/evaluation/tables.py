"""Tables of results, as Markdown that also reads well on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from lmv3det.errors import printable

COLUMNS = ("AP", "AP50", "AP75", "AR100")


def number(value: float | None) -> str:
    """A figure in per cent with one decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An aligned Markdown table: the first column to the left, figures to the right.

    Wide (Chinese, Japanese, Korean) characters count as two columns; line breaks and control
    characters are escaped.
    """
    cells = [[printable(cell).replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *map(_width, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [
            _pad(cell, width, left=not k)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    lines.insert(1, rule)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def class_table(metrics: dict[str, Any]) -> str:
    """The table by class of one kind of metrics: a row a class, the mean over classes last.

    Args:
        metrics: `{"AP", "AP50", "AP75", "AR100", "per_class": {name: {…, "count"}}}`, 0..100 or
            None.
    """
    per_class = metrics["per_class"]
    rows = [
        [name, *(number(values[key]) for key in COLUMNS), str(values["count"])]
        for name, values in per_class.items()
    ]
    total = sum(values["count"] for values in per_class.values())
    rows.append(["all", *(number(metrics[key]) for key in COLUMNS), str(total)])
    return markdown_table(["class", *COLUMNS, "count"], rows)


def metrics_tables(metrics: dict[str, dict[str, Any]]) -> str:
    """`class_table` of every kind (bbox, segm), each under its heading."""
    titles = {"bbox": "Boxes", "segm": "Masks"}
    return "\n\n".join(
        f"{titles.get(kind, kind)} (COCO AP, per cent)\n\n{class_table(values)}"
        for kind, values in metrics.items()
    )


def _width(text: str) -> int:
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text
