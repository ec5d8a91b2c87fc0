"""The small tools of the quick start and the README."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tools.compare_metrics import compare
from tools.side_by_side import GAP, HEIGHT, side_by_side


def test_a_row_a_class_and_a_column_an_evaluation() -> None:
    def metrics(per_class: dict[str, float | None]) -> dict:
        rows = {name: {"AP": value} for name, value in per_class.items()}
        return {"bbox": {"AP": 10.0, "AP50": 20.0, "per_class": rows}}

    table = compare(
        {"before": metrics({"Text": 1.25}), "after": metrics({"Text": 30, "Tab": None})}
    )
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
    assert cells[0][1:] == ["before", "after"]
    assert cells[2:] == [
        ["Text", "1.2", "30.0"],
        ["Tab", "–", "–"],
        ["all, AP", "10.0", "10.0"],
        ["all, AP50", "20.0", "20.0"],
    ]


def test_images_stand_in_a_row(tmp_path: Path) -> None:
    for name, size, colour in (("a", (100, 200), "red"), ("b", (400, 400), "blue")):
        Image.new("RGB", size, colour).save(tmp_path / f"{name}.png")
    side_by_side([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "new" / "row.png")
    with Image.open(tmp_path / "new" / "row.png") as image:
        assert image.size == (HEIGHT // 2 + GAP + HEIGHT, HEIGHT)
        row = image.convert("RGB")
    assert row.getpixel((5, 5)) == (255, 0, 0) and row.getpixel((HEIGHT, 5)) == (0, 0, 255)
