"""The comparison on real pages: classes by name, the three states of text, scores of known results.

Nothing is timed here.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks.layout_models import (
    class_ids,
    difference,
    draw_range,
    exported,
    lines,
    measure,
    ours,
    table,
    truth,
)
from benchmarks.reading_order import Orders, of_found
from lmv3det.inference.detector import Detector
from lmv3det.text.ocr_json import read_ocr
from tests.tiny_detector import tiny_checkpoint, tiny_config

PUBLAYNET = [{"id": 4 + k, "name": n} for k, n in enumerate(["text", "title", "list", "table"])]
CDLA = [{"id": 9, "name": "Text"}, {"id": 8, "name": "Figure caption"}, {"id": 7, "name": "Title"}]


def write(folder: Path, data, categories: list[dict], used: list[int]) -> Path:
    """The tiny pages with other classes: region k has class used[k % len(used)]."""
    shutil.copytree(data.images, folder / "images")
    shutil.copytree(data.ocr, folder / "OCR")
    content = json.loads(data.annotations.read_text())
    content["categories"] = categories
    for number, annotation in enumerate(content["annotations"]):
        annotation["category_id"] = used[number % len(used)]
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def finder(dataset, rename: dict[int, str]):
    """A function that finds the truth, its classes under the detector's names."""
    records = {record.file_name: record for record in dataset.records}

    def find(path: Path):
        regions = [a for a in records[path.name].annotations if not a["iscrowd"]]
        boxes = np.array([a["bbox"] for a in regions], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes, np.ones(len(boxes)), [rename[a["category_id"]] for a in regions]

    return find


def test_other_classes_are_mapped_and_lists_left_out(tiny_data, tmp_path: Path) -> None:
    folder = write(tmp_path / "pages", tiny_data, PUBLAYNET, [4, 5, 6, 7])
    dataset = truth(folder, tmp_path)
    assert [c.name for c in dataset.file_categories] == ["text", "title", "table"]
    ids = class_ids(dataset)
    assert ids == {"text": 4, "figurecaption": 4, "tablecaption": 4, "equation": 4, "title": 5,
                   "table": 7}  # fmt: skip
    names = {4: "Figure caption", 5: "title", 7: "Table"}
    evaluation = measure(dataset, finder(dataset, names), "x", "y").evaluation
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    # Headers are no class of PubLayNet: not found, and no mistake either.
    row = measure(dataset, finder(dataset, {**names, 5: "Header"}), "x", "y")
    found = row.evaluation.metrics["bbox"]["per_class"]
    assert found["title"]["AP"] == 0 and found["text"]["AP"] == pytest.approx(100)
    assert "| x | y |" in table([row])


def test_cdlas_own_classes_stay(tiny_data, tmp_path: Path) -> None:
    dataset = truth(write(tmp_path / "pages", tiny_data, CDLA, [9, 8, 7]), tmp_path)
    assert class_ids(dataset) == {"text": 9, "figurecaption": 8, "title": 7}


def test_the_three_states_of_text(tiny_data) -> None:
    folder, file = tiny_data.ocr.parent, next(tiny_data.ocr.iterdir()).name
    page = read_ocr(tiny_data.ocr / file)
    words, boxes, none = (lines(folder, file, state) for state in ("words", "boxes", "none"))
    assert words.lines == page.lines and any(page.lines)
    assert boxes.lines == [""] * len(page.lines) and np.array_equal(boxes.boxes, page.boxes)
    assert none.lines == [] and none.boxes.shape == (0, 4) and none.width == page.width


def test_the_files_of_a_detector_are_compared_with_it(tiny_data, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    folder = write(tmp_path / "pages", tiny_data, CDLA, [9, 8, 7])
    source = tiny_checkpoint(tmp_path / "model.pth", tiny_config(test={"score_threshold": 0.3}))
    files = {name: Detector.load(path) for name, path in exported(str(source), tmp_path).items()}
    eager, dataset = Detector.load(source, "cpu"), truth(folder, tmp_path)
    row = measure(dataset, ours(eager, folder, "none"), "x", "eager")
    off = {
        name: difference(
            eager, dataset, row, measure(dataset, ours(d, folder, "none"), "x", name)
        ).max(axis=0)
        for name, d in files.items()
    }
    assert off["ONNX fp32"][0] <= 0.1 and off["ONNX fp32"][1] <= 1e-3
    assert off["ONNX fp32"][1] < off["ONNX fp16"][1] < off["ONNX int8"][1]


def test_the_range_of_pages(tiny_data, tmp_path: Path) -> None:
    dataset = truth(write(tmp_path / "pages", tiny_data, CDLA, [9, 8, 7]), tmp_path)
    find = finder(dataset, {9: "Text", 8: "Figure caption", 7: "Title"})
    worst = dataset.records[0].file_name

    def blind(path: Path):
        boxes, scores, names = find(path)
        return (boxes * 0, scores, names) if path.name == worst else (boxes, scores, names)

    pages = len(dataset)
    drawn = draw_range(dataset, measure(dataset, blind, "x", "y").evaluation, tmp_path)
    assert [what for what, _, _ in drawn] == ["worst", "median", "best"] and len(dataset) == pages
    assert drawn[0][2] == pytest.approx(0) and drawn[2][2] == pytest.approx(100)
    assert all(path.is_file() for _, path, _ in drawn)


def test_reading_orders_are_compared() -> None:
    orders = Orders()
    for order in ([0, 1, 2], [2, 1, 0], [0, 2, 1], [0]):
        orders.add(order)
    assert orders.tau == pytest.approx([1, -1, 1 / 3])
    # 0 1 2: both; 2 1 0: none follows; 0 2 1: none.
    assert (orders.right, orders.pairs) == (2, 6)
    true = np.array([[0.0, 0, 10, 10], [0, 20, 10, 30], [0, 40, 10, 50]])
    found = np.array([[0.0, 41, 10, 50], [0, 1, 10, 10], [50, 20, 60, 30]])
    same = np.ones((3, 3), dtype=bool)
    assert of_found(found, true, same) == [0, 1]
    assert of_found(found, true[:0], same[:, :0]) == []
