"""Fuzz targets: exports of annotation tools, in their ZIP too, COCO as tools write it, and the
normalizers of tokenizers."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.data.check import check_dataset, class_counts
from lmv3det.data.coco import CocoDataset
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_digits, mutate_text, mutate_value
from tests.fuzz.target import Target

NAMES = (
    "a.png", "images\\a.png", "/data/upload/1/0a1b2c3d-b.png", "../b.png", "C:\\x\\a.png", "a",
    "/data/local-files/?d=pages%2Fa.png", "s3://bucket/b.png?x=1", "file://[x/a.png",
    "%2e%2e/a.png", "/etc/passwd", "A.PNG", "", "x/" * 300 + "a.png",
)  # fmt: skip
BRUSH = [0, 0, 0, 192, 57, 27, 254, 67, 0, 183, 255, 132, 192, 45, 255, 206, 1, 31, 252, 224, 22,
         255, 241, 120, 0]  # fmt: skip
"""A mask of 8×6 pixels."""


def _pages(folder: Path) -> Path:
    """Two pages of 8×6 and 40×60 pixels in a folder."""
    (folder / "images").mkdir()
    Image.new("RGB", (8, 6), "white").save(folder / "images" / "a.png")
    noise = np.random.default_rng(0).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "images" / "b.png")
    return folder / "images"


def _result(key: str, kind: str, size: tuple[int, int], **value: Any) -> dict[str, Any]:
    return {
        "id": key, "type": kind, "from_name": "label", "to_name": "image", "image_rotation": 0,
        "original_width": size[0], "original_height": size[1], "value": value,
    }  # fmt: skip


def _studio() -> list[Any]:
    small, large = (8, 6), (40, 60)
    box = {"x": 10, "y": 20, "width": 50, "height": 30, "rotation": 0}
    picture = io.BytesIO()
    Image.new("L", small, 255).save(picture, "PNG")
    url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    results = [
        _result("a", "rectanglelabels", large, **box, rectanglelabels=["Text"]),
        _result("b", "polygonlabels", large, points=[[1, 2], [30, 2], [30, 40]],
                polygonlabels=["Table"]),
        _result("c", "ellipselabels", large, x=50, y=50, radiusX=9, radiusY=5, rotation=20,
                ellipselabels=["Figure"]),
        _result("d", "rectangle", large, **box),
        _result("d", "labels", large, **box, labels=["Text"]),
        _result("d", "textarea", large, **box, text=["words"]),
        {"type": "relation", "from_id": "a", "to_id": "b"},
    ]  # fmt: skip
    masks = [
        _result("e", "brushlabels", small, format="rle", rle=BRUSH, brushlabels=["Figure"]),
        _result("f", "bitmasklabels", small, imageDataURL=url, bitmasklabels=["Figure"]),
        _result("g", "videorectangle", small, sequence=[{"frame": 1, **box}], labels=["Text"]),
    ]
    of_page = [{**results[0], "item_index": 1}, {**results[1], "to_name": "page_0"}]
    return [
        {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-b.png"},
         "annotations": [{"id": 1, "was_cancelled": False, "result": results}]},
        {"id": 2, "data": {"image": "a.png"}, "annotations": [{"result": masks}],
         "predictions": [{"result": results[:1]}]},
        {"id": 3, "data": {"pages": ["a.png", "b.png"]}, "annotations": [{"result": of_page}]},
        {"id": 4, "data": {"doc": [{"page": "a.png"}, {"page": "b.png"}]},
         "annotations": [{"result": of_page, "ground_truth": True}, {"result": []}]},
    ]  # fmt: skip


def _short() -> list[Any]:
    box = {"x": 10, "y": 20, "width": 50, "height": 30, "rotation": 5, "rectanglelabels": ["Text"]}
    return [
        {"image": "b.png", "id": 1, "label": [{**box, "original_width": 40}]},
        {"image": "a.png"},
    ]


CVAT = (
    '<?xml version="1.0"?><annotations><meta><task><labels><label><name>Text</name><type>any</type>'
    "</label><label><name>1</name><parent>P</parent></label></labels><original_size><width>40"
    '</width><height>60</height></original_size></task></meta><image id="0" name="b" width="40" '
    'height="60" subset="train"><box label="Text" xtl="1" ytl="2" xbr="30" ybr="20" rotation="10"/>'
    '<polygon label="Text" points="1,2;30,2;30,40"/><ellipse label="Text" cx="20" cy="20" rx="9" '
    'ry="5" rotation="3"/><mask label="Text" rle="2, 3, 1" left="10" top="20" width="3" '
    'height="2"/>'
    '<skeleton label="P"><points label="1" points="1,2"/></skeleton><tag label="Text"/></image>'
    '<track id="0" label="Text"><box frame="0" outside="0" xtl="1" ytl="2" xbr="9" ybr="9"/>'
    "</track></annotations>"
)


def _labelme() -> list[Any]:
    corners = [[1, 2], [30, 2], [30, 40], [1, 40]]
    kinds = ("polygon", "rotation", "quadrilateral", "rectangle", None, "circle", "line", "mask")
    shapes = [
        {"label": "Text", "points": corners[:2] if kind in ("circle", "mask") else corners,
         "shape_type": kind, "group_id": None}
        for kind in kinds
    ]  # fmt: skip
    page = {"version": "5", "shapes": shapes, "imageData": None}
    return [
        {**page, "imagePath": "..\\images\\b.png", "imageWidth": 40, "imageHeight": 60},
        {**page, "imagePath": "a.png"},
    ]


def _coco(rng: Random) -> dict[str, Any]:
    images = [
        {"id": k, "file_name": rng.choice(NAMES), "width": 40, "height": 60} for k in (1, 2, 3)
    ]
    whole = {"size": [60, 40], "counts": [62, 5, 2333]}
    box = {"category_id": 1, "iscrowd": 0, "bbox": [1, 2, 20, 30]}
    annotations = [
        {**box, "id": 1, "image_id": 1, "attributes": {"rotation": 30.0, "occluded": False}},
        {**box, "id": 2, "image_id": "2", "category_id": "2", "iscrowd": "0"},
        {**box, "id": 3, "image_id": 3, "bbox": None, "segmentation": whole},
        {**box, "id": 4, "image_id": 1, "bbox": [], "segmentation": [[1, 2, 20, 2, 20, 30]]},
        {**box, "id": 5, "image_id": 1, "bbox": ["1", "2", "3", "4.5"], "iscrowd": 1},
    ]
    categories = [
        {"id": 0, "name": "Text", "supercategory": "none"},
        {"id": 1, "name": "text", "supercategory": "Text"},
        {"id": 2, "name": "Table", "supercategory": "Text"},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _xml(rng: Random) -> bytes:
    data = CVAT.encode()
    for _ in range(rng.randrange(1, 3)):
        kind = rng.randrange(4)
        if kind < 2:
            data = mutate_digits(rng, data)
        elif kind == 2:
            text = mutate_text(rng, data.decode("utf-8", "replace"))
            data = text.encode("utf-8", "replace")
        else:
            data = mutate_bytes(rng, data, 2)
    return data


def _export(rng: Random) -> tuple[str, bytes]:
    """One export of any tool, and the suffix of its file."""
    kind = rng.randrange(5)
    if kind == 0:
        return ".xml", _xml(rng)
    value = (_studio(), _short(), _labelme()[0], _coco(rng))[kind - 1]
    return ".json", json_bytes(rng, value)


def _write_studio(rng: Random, seeds: Any, folder: Path) -> None:
    tasks = _studio() if rng.random() < 0.8 else _short()
    (folder / "annotations").write_bytes(json_bytes(rng, tasks))


def _write_cvat(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "annotations").write_bytes(_xml(rng))


def _write_labelme(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "annotations").mkdir()
    for number, page in enumerate(_labelme()):
        (folder / "annotations" / f"{'ab'[number]}.json").write_bytes(json_bytes(rng, page))


def _write_tool_coco(rng: Random, seeds: Any, folder: Path) -> None:
    (folder / "annotations").write_bytes(json_bytes(rng, _coco(rng)))


def _write_zip(rng: Random, seeds: Any, folder: Path) -> None:
    """A ZIP of some exports under names of all kinds, whole or damaged."""
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for number in range(rng.choice((1, 1, 1, 1, 2, 0))):
            suffix, content = _export(rng)
            inside = rng.choice(("", "annotations/", "../../", "/abs/", "x\\y\\", ".hidden/"))
            archive.writestr(f"{inside}{number}{suffix}", content)
        for name in ("images/a.png", "README.txt", "inner.zip", "../slip.png"):
            if rng.random() < 0.3:
                archive.writestr(name, b"PK\x03\x04 no picture")
    content = buffer.getvalue()
    if rng.random() < 0.5:
        content = mutate_bytes(rng, content, 3)
    elif rng.random() < 0.1:
        content = content[: rng.randrange(4, len(content))]
    (folder / "annotations").write_bytes(content)


def _read(rng: Random, seeds: Any, folder: Path) -> object:
    strict = rng.random() < 0.1
    dataset = CocoDataset(folder / "annotations", seeds, quiet=True, strict=strict)
    inside = {path.name for path in seeds.iterdir()}
    for number in range(len(dataset)):
        assert dataset.records[number].path.parent == seeds
        assert dataset.records[number].path.name in inside
        sample = dataset[number]
        assert np.isfinite(sample.boxes).all() and len(sample.boxes) == len(sample.classes)
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
    class_counts(dataset)
    report = check_dataset(dataset) if rng.random() < 0.1 else dataset.report
    for line in (report.summary(), *report.lines(3)):
        assert "\n" not in line, line
    return {path.name for path in folder.iterdir()} == {"annotations"}


def _prepare_tokenizer(folder: Path) -> dict[str, Any]:
    from lmv3det.inference.default_model import default_model_folder
    from lmv3det.text.tokenization import PageTokenizer

    files = default_model_folder() / "tokenizer"
    PageTokenizer(files)(["a"], np.array([[1.0, 1, 9, 9]]), (30, 30))  # imports are no hang
    content = json.loads((files / "tokenizer.json").read_text("utf-8"))
    content["model"]["merges"] = content["model"]["merges"][:200]
    settings = (files / "tokenizer_config.json").read_text("utf-8")
    return {"content": content, "settings": settings}


def _write_tokenizer(rng: Random, seeds: Any, folder: Path) -> None:
    """A tokenizer whose steps are mutated, its vocabulary left whole."""
    table = base64.b64encode(b"\x08\0\0\0" + bytes(8) + b"a" * rng.choice((1, 9, 9000)) + b"\0")
    steps = [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * rng.choice((0, 3, 999))},
        {"type": "Prepend", "prepend": "x" * rng.choice((1, 5000))},
        {"type": "Precompiled", "precompiled_charsmap": table.decode()},
        {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"},
    ]  # fmt: skip
    chosen = [rng.choice(steps) for _ in range(rng.randrange(1, 5))]
    normalizer: Any = {"type": "Sequence", "normalizers": chosen}
    normalizer = mutate_value(rng, normalizer) if rng.random() < 0.5 else normalizer
    content = {**seeds["content"], "normalizer": normalizer}
    (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8", errors="replace")
    (folder / "tokenizer_config.json").write_text(seeds["settings"], "utf-8")


def _read_tokenizer(rng: Random, seeds: Any, folder: Path) -> object:
    from lmv3det.text.tokenization import PageTokenizer

    boxes = np.array([[1.0, 1, 9, 9], [1, 11, 9, 19]])
    tokens = PageTokenizer(folder, selection="all")(["banana", "a" * 200], boxes, (30, 30))
    assert len(tokens.ids) == len(tokens.boxes)
    return tokens


TARGETS = (
    Target("label-studio", _pages, _write_studio, _read),
    Target("cvat", _pages, _write_cvat, _read),
    Target("labelme", _pages, _write_labelme, _read),
    Target("tool-coco", _pages, _write_tool_coco, _read),
    Target("zip", _pages, _write_zip, _read),
    Target("normalizer", _prepare_tokenizer, _write_tokenizer, _read_tokenizer),
)
