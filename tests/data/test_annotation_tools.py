"""What people correct in LabelMe, Label Studio and CVAT is read as a data set."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lmv3det.cli.app import main
from lmv3det.data.coco import CocoDataset
from lmv3det.data.issues import DataReport
from lmv3det.data.shapes import turned_box
from lmv3det.data.tool_pages import ToolPages
from lmv3det.engine.run import train
from lmv3det.errors import InputError
from lmv3det.inference.formats import load_format
from tests.training_helpers import tiny_config

BOXES = {"a.png": [[4.0, 5.0, 20.0, 10.0], [1.0, 30.0, 30.0, 20.0]], "b.png": []}
TOOLS = {
    "labelme": "images",
    "label-studio": "label_studio.json",
    "cvat": "cvat.xml",
}
"""Format of `predict` → what of its folder is read."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The images of two pages, and what `predict --format` writes of them."""
    (tmp_path / "images").mkdir()
    entries = []
    for name, size in (("a.png", (40, 60)), ("b.png", (40, 50))):
        Image.new("RGB", size, "white").save(tmp_path / "images" / name)
        regions = [
            {"bbox": box, "score": 0.5, "category": category, "order": k}
            for k, (box, category) in enumerate(zip(BOXES[name], ("Text", "Table"), strict=False))
        ]
        entries.append(
            {"file": f"/else/{name}", "page": 1, "width": size[0], "height": size[1],
             "detections": regions, "image": f"images/{name}"}
        )  # fmt: skip
    for name in TOOLS:
        load_format(name).write(lambda: iter(entries), tmp_path, ["Title", "Text", "Table"])
    return tmp_path


def regions(dataset: CocoDataset) -> dict[str, list[tuple[str, list[float]]]]:
    names = {category.id: category.name for category in dataset.file_categories}
    return {
        record.file_name: [(names[a["category_id"]], a["bbox"]) for a in record.annotations]
        for record in dataset.records
    }


@pytest.mark.parametrize("tool", TOOLS)
def test_what_predict_wrote_is_read_again(folder, tool):
    dataset = CocoDataset(folder / TOOLS[tool], folder / "images", quiet=True)
    found = regions(dataset)
    assert found.keys() == BOXES.keys()
    for name, boxes in BOXES.items():
        assert [label for label, _ in found[name]] == ["Text", "Table"][: len(boxes)]
        for (_, box), wanted in zip(found[name], boxes, strict=True):
            assert box == pytest.approx(wanted, abs=0.01)
    sizes = {r.file_name: (r.width, r.height) for r in dataset.records}
    assert sizes == {"a.png": (40, 60), "b.png": (40, 50)}
    # Predictions that nobody has looked at are told of.
    assert dataset.report.counts == ({"not annotated": 2} if tool == "label-studio" else {})


@pytest.mark.parametrize("tool", TOOLS)
def test_check_and_train_take_them(folder, tool, tmp_path, capsys):
    place = folder / TOOLS[tool]
    if tool == "label-studio":
        submit(place)
    words = ["check", "--annotations", str(place), "--images", str(folder / "images")]
    assert main([*words, "--draw", str(tmp_path / "drawn")]) == 0
    printed = capsys.readouterr().out
    assert "clean, no issues" in printed and "2 regions" in printed
    assert {p.name for p in (tmp_path / "drawn").iterdir()} == {"a.jpg", "b.jpg"}
    split = {"annotations": str(place), "images": str(folder / "images")}
    config = tiny_config(folder, tmp_path / "run", data={"train": split, "val": split},
                         solver={"steps": 1, "evaluate_every": 1})  # fmt: skip
    train(config)
    assert (tmp_path / "run" / "best.pth").is_file()
    words = ["evaluate", str(tmp_path / "run" / "best.pth"), "--out", str(tmp_path / "scores")]
    assert main([*words, "--annotations", str(place), "--images", str(folder / "images")]) == 0


def submit(path: Path) -> None:
    """Make the predictions of a Label Studio file annotations, as its export has them."""
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks):
        results = task.pop("predictions")[0]["result"]
        task |= {"id": number, "annotations": [{"was_cancelled": False, "result": results}]}
    path.write_text(json.dumps(tasks))


def studio(folder: Path, tasks: Any) -> CocoDataset:
    (folder / "export.json").write_text(json.dumps(tasks))
    return CocoDataset(folder / "export.json", folder / "images", quiet=True)


def result(kind: str, **value: Any) -> dict[str, Any]:
    labels = {f"{kind}labels": ["Text"]}
    return {"original_width": 40, "original_height": 60, "value": value | labels}


def test_label_studios_own_exports(folder):
    box = result("rectangle", x=10, y=20, width=50, height=10, rotation=0)
    turned = result("rectangle", x=50, y=20, width=25, height=10, rotation=90)
    polygon = result("polygon", points=[[0, 0], [50, 0], [50, 50]])
    choice = {"value": {"choices": ["good"]}, "from_name": "quality"}
    no_label = copy.deepcopy(box)
    no_label["value"]["rectanglelabels"] = []
    tasks = [
        {
            "data": {"ocr": "x", "page": "/data/upload/1/0a1b2c3d-a.png"},
            "annotations": [
                {"result": [box]},
                {"result": [turned, polygon, choice, no_label]},
                {"result": [], "was_cancelled": True},
            ],
        },
        {"data": {"image": "s3://bucket/pages/b.png?x=1"}, "annotations": []},
        {"data": {"image": "http://host/gone.png"}, "annotations": [{"result": []}]},
        "no task",
        {"data": {"text": "no image"}},
    ]
    dataset = studio(folder, tasks)
    # By 90° clockwise about the corner (20, 12): 10 pixels to the right become 10 down.
    assert regions(dataset) == {
        "a.png": [("Text", pytest.approx([14, 12, 6, 10])), ("Text", [0, 0, 20, 30])],
        "b.png": [],
    }
    polygons = [a["segmentation"] for a in dataset.records[0].annotations]
    assert polygons[1] == [[0, 0, 20, 0, 20, 30]]
    assert dataset.report.counts == {
        "annotated several times": 1, "malformed result": 1, "not annotated": 1,
        "malformed task": 2, "missing image": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match="not of Label Studio's tasks"):
        studio(folder, [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}])
    with pytest.raises(InputError, match=r"export\.json: a JSON list"):
        studio(folder, [])


def test_labelmes_shapes(folder):
    pages = folder / "pages"
    (pages / "deep").mkdir(parents=True)
    points = [[1, 2], [11, 2], [11, 12]]
    shapes = [
        {"label": "Text", "points": points, "shape_type": "polygon"},
        {"label": "Text", "points": [[9, 8], [3, 4]], "shape_type": "rectangle"},
        {"label": "Figure", "points": [[20, 20], [23, 24]], "shape_type": "circle"},
        {"label": "Text", "points": points, "shape_type": "linestrip"},
        {"label": "", "points": points},
        {"label": "Text", "points": [[1, "2"]]},
        {"label": "Text", "points": points[:2], "shape_type": "polygon"},
    ]
    content = {"imagePath": "..\\..\\images\\a.png", "imageWidth": 40, "imageHeight": 60}
    (pages / "deep" / "a.json").write_text(json.dumps({**content, "shapes": shapes}))
    (pages / "b.json").write_text(json.dumps({"imagePath": "b.png", "shapes": []}))
    (pages / "ocr.json").write_text('{"bbox": [], "words": []}')
    (pages / "cut.json").write_text('{"shapes"')
    dataset = CocoDataset(pages, folder / "images", quiet=True)
    assert regions(dataset) == {
        "a.png": [("Text", [1, 2, 10, 10]), ("Text", [3, 4, 6, 4]), ("Figure", [15, 15, 10, 10])],
        "b.png": [],
    }
    assert [c.name for c in dataset.file_categories] == ["Figure", "Text"]
    assert dataset.report.counts == {
        "malformed shape": 4, "another file": 1, "unreadable file": 1,
    }  # fmt: skip
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="no LabelMe file in this folder"):
        CocoDataset(folder / "empty", folder / "images", quiet=True)


@pytest.mark.parametrize("head", ['<?xml version="1.0" encoding="utf-x"?>', "<a>" * 100_000])
def test_xml_that_cannot_be_read(folder, head):
    text = (folder / "cvat.xml").read_text(encoding="utf-8")
    (folder / "cvat.xml").write_text(head + text.partition("?>")[2], encoding="utf-8")
    with pytest.raises(InputError, match=r"cvat\.xml: not XML"):
        CocoDataset(folder / "cvat.xml", folder / "images", quiet=True)


def test_a_size_with_too_many_digits_in_cvats_file(folder):
    text = (folder / "cvat.xml").read_text(encoding="utf-8").replace('="40"', f'="{"9" * 5000}"')
    (folder / "cvat.xml").write_text(text, encoding="utf-8")
    dataset = CocoDataset(folder / "cvat.xml", folder / "images", quiet=True)
    assert {record.width for record in dataset.records} == {40}  # of the image


def test_cvats_shapes(folder):
    head = "<annotations><meta><job><labels><label><name>Text</name></label></labels></job></meta>"
    image = (
        '<image id="0" name="a.png" width="40" height="60">'
        '<box label="Text" xtl="10" ytl="10" xbr="30" ybr="14" rotation="90"/>'
        '<polygon label="Table" points="0,0;8,0;8,9"/><tag label="Text"/>'
        '<polyline label="Text" points="0,0;8,0"/><box label="Text" xtl="1" ytl="x" xbr="3"/>'
        "</image></annotations>"
    )
    path = folder / "own.xml"
    path.write_text(f'<?xml version="1.0"?>{head}{image}')
    dataset = CocoDataset(path, folder / "images", quiet=True)
    assert regions(dataset) == {
        "a.png": [("Text", pytest.approx([18, 2, 4, 20])), ("Table", [0, 0, 8, 9])]
    }
    assert [c.name for c in dataset.file_categories] == ["Text", "Table"]
    assert dataset.report.counts == {"malformed shape": 2}
    for text, why in (
        ("<annotations>", "not XML"),
        ("<html></html>", "CVAT for images 1.1"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><annotations/>', "entities of its own"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=why):
            CocoDataset(path, folder / "images", quiet=True)


def test_a_file_is_found_by_the_end_of_its_path(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("x.png", "sub/x.png", "0a1b2c3d-y.png", "z.png"):
        (tmp_path / name).touch()
    find = ToolPages(tmp_path, DataReport()).find
    assert find("/data/sub/x.png") == "sub/x.png" and find("other/x.png") == "x.png"
    assert find("../../x.png") == "x.png" and find("a/../x.png") == "x.png"
    assert find("0a1b2c3d-y.png") == "0a1b2c3d-y.png" and find("0a1b2c3d-z.png") == "z.png"
    assert find("gone/away.png") == "away.png" and find("/etc/../..") == ""


def test_a_box_is_turned_clockwise_on_the_page():
    np.testing.assert_allclose(
        turned_box((0, 0, 4, 2), 90, (0, 0)), [[0, 0], [0, 4], [-2, 4], [-2, 0]], atol=1e-12
    )
    about_middle = turned_box((0, 0, 4, 2), 180)
    np.testing.assert_allclose(about_middle, [[4, 2], [0, 2], [0, 0], [4, 0]], atol=1e-12)
