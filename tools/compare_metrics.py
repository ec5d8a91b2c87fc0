"""`python -m tools.compare_metrics NAME=METRICS.json …`: the box AP of evaluations, by class."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lmv3det.evaluation.tables import markdown_table, number


def compare(evaluations: dict[str, dict]) -> str:
    """A Markdown table with a row a class and a column an evaluation.

    Args:
        evaluations: name of the column → the content of its `metrics.json`.
    """
    boxes = [metrics["bbox"] for metrics in evaluations.values()]
    names = list(dict.fromkeys(name for box in boxes for name in box["per_class"]))
    rows = [
        [name, *(number(box["per_class"].get(name, {}).get("AP")) for box in boxes)]
        for name in names
    ]
    rows += [[f"all, {key}", *(number(box[key]) for box in boxes)] for key in ("AP", "AP50")]
    return markdown_table(["box AP, per cent", *evaluations], rows)


def main(arguments: list[str]) -> None:
    """The command."""
    files = dict(argument.split("=", 1) for argument in arguments)
    print(compare({name: json.loads(Path(file).read_text()) for name, file in files.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
