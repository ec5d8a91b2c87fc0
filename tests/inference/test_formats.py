"""What `predict --format` writes, read again."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_detector import tiny_checkpoint

from lmv3det.data.coco import CocoDataset
from lmv3det.errors import InputError
from lmv3det.inference.detections import PageDetections
from lmv3det.inference.detector import Detector
from lmv3det.inference.formats import FORMATS, load_format
from lmv3det.inference.job import predict_files


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture
def out(checkpoint, tmp_path, monkeypatch) -> Path:
    """Three pages, two of them of a TIFF, with known regions, in every format."""
    page = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(page).save(tmp_path / "scan.png")
    upright = Image.fromarray(page)
    exif = upright.getexif()
    exif[0x0112] = 6  # stored on its side
    upright.save(tmp_path / "turned.jpg", exif=exif)
    frames = [upright, upright]
    frames[0].save(tmp_path / "book.tif", save_all=True, append_images=frames[1:])

    def known(self, pages, selection, masks):
        found = []
        for sample, _ in pages:
            boxes = torch.tensor([[5.0, 10, 50.5, 40], [5, 45, 50, 60], [1, 1, 9, 9]])
            found.append(
                (
                    sample,
                    PageDetections(
                        boxes,
                        torch.tensor([0.9, 0.75, 0.1]),
                        torch.tensor([0, 1, 1]),
                        (sample.page.height, sample.page.width),
                        None,
                        self.names,
                        sample.page,
                    ),
                )
            )
        return found

    monkeypatch.setattr(Detector, "_detect_batch", known)
    inputs = [tmp_path / name for name in ("scan.png", "turned.jpg", "book.tif")]
    detector = Detector.load(checkpoint, device="cpu")
    report = predict_files(detector, inputs, tmp_path / "out", formats=list(FORMATS))
    assert report.done == 4 and not report.failures
    return tmp_path / "out"


BOXES = [[5, 10, 45.5, 30], [5, 45, 45, 15]]
NAMES = ["Table", "Text"]
IMAGES = ["scan.png", "turned.png", "book_p1.png", "book_p2.png"]


def test_images_are_upright_and_of_the_size_that_is_said(out):
    assert sorted(p.name for p in (out / "images").iterdir() if p.suffix != ".json") == sorted(
        IMAGES
    )
    for entry in json.loads((out / "detections.json").read_text()):
        with Image.open(out / entry["image"]) as image:
            assert image.size == (entry["width"], entry["height"])
            assert image.getexif().get(0x0112, 1) == 1
    assert (out / "images/scan.png").read_bytes() == (out.parent / "scan.png").read_bytes()


def test_coco_is_read_as_a_data_set(out):
    dataset = CocoDataset(out / "coco.json", out / "images")
    assert [category.name for category in dataset.file_categories] == NAMES
    assert [record.file_name for record in dataset.records] == IMAGES
    for index, record in enumerate(dataset.records):
        assert [a["bbox"] for a in record.annotations] == BOXES
        assert len(dataset[index].boxes) == 2


def test_labelme_round_trip(out):
    for name in IMAGES:
        content = json.loads((out / "images" / name).with_suffix(".json").read_text())
        assert content["imagePath"] == name
        with Image.open(out / "images" / name) as image:
            assert (content["imageWidth"], content["imageHeight"]) == image.size
        boxes = []
        for shape in content["shapes"]:
            (x0, y0), (x1, y1) = shape["points"]
            assert shape["shape_type"] == "rectangle"
            boxes.append([x0, y0, x1 - x0, y1 - y0])
        assert boxes == BOXES
        assert [shape["label"] for shape in content["shapes"]] == NAMES
    assert (out / "labels.txt").read_text().split() == NAMES


def test_label_studio_round_trip(out):
    tasks = json.loads((out / "label_studio.json").read_text())
    assert [Path(task["data"]["image"]).name for task in tasks] == IMAGES
    interface = ElementTree.parse(out / "label_studio.xml")
    assert [label.get("value") for label in interface.iter("Label")] == NAMES
    control, image = interface.find("RectangleLabels"), interface.find("Image")
    for task in tasks:
        (prediction,) = task["predictions"]
        assert prediction["score"] == pytest.approx((0.9 + 0.75) / 2)
        for result, box, name in zip(prediction["result"], BOXES, NAMES, strict=True):
            assert result["from_name"] == control.get("name")
            assert result["to_name"] == control.get("toName") == image.get("name")
            value, width, height = (
                result["value"], result["original_width"], result["original_height"],
            )  # fmt: skip
            pixels = [
                value["x"] * width / 100,
                value["y"] * height / 100,
                value["width"] * width / 100,
                value["height"] * height / 100,
            ]
            assert pixels == pytest.approx(box) and value["rectanglelabels"] == [name]


def test_cvat_round_trip(out):
    root = ElementTree.parse(out / "cvat.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [label.text for label in root.findall("meta/task/labels/label/name")] == NAMES
    images = root.findall("image")
    assert [image.get("name") for image in images] == IMAGES
    for image in images:
        boxes = []
        for box in image.findall("box"):
            x0, y0, x1, y1 = (float(box.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
            boxes.append([x0, y0, x1 - x0, y1 - y0])
        assert boxes == BOXES and [box.get("label") for box in image.findall("box")] == NAMES


class Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name == "src"]


def test_documents_show_pictures_that_are_there(out):
    """Without text the text is a picture too: nothing is lost."""
    for name, count in (("scan", 2), ("turned", 2), ("book", 4)):
        parser = Sources()
        parser.feed((out / f"{name}.html").read_text())
        assert len(parser.found) == count
        assert all((out / source).is_file() for source in parser.found)
        text = (out / f"{name}.md").read_text()
        assert text.count("![") == count and all(source in text for source in parser.found)
    with Image.open(out / "pictures/scan_1.png") as picture:
        assert picture.size == (46 + 8, 30 + 8 - 0)


def test_formats_that_are_not_there():
    with pytest.raises(InputError, match=r"'html5' is not one of .* \(did you mean html\?\)"):
        load_format("html5")


@pytest.mark.parametrize(
    "name", ["a\x01b", "\x1f", "\ufffe", "\ud800", '<&">', "tab\tline\n", "é\u200d"]
)
def test_class_names_with_characters_that_xml_cannot_hold(tmp_path, name):
    """Failed before: Label Studio could not open the interface."""
    region = {"bbox": [1, 2, 3, 4], "score": 0.5, "category": name, "order": 0}
    page = {"file": "a.png", "page": 1, "width": 40, "height": 60, "detections": [region],
            "image": "images/a.png"}  # fmt: skip
    load_format("label-studio").write(lambda: iter([page]), tmp_path, [name])
    labels = ElementTree.parse(tmp_path / "label_studio.xml").getroot().findall(".//Label")
    (task,) = json.loads((tmp_path / "label_studio.json").read_text("utf-8"))
    (used,) = task["predictions"][0]["result"][0]["value"]["rectanglelabels"]
    assert [label.get("value") for label in labels] == [used]
