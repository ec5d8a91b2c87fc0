"""Exports as tools write them: nothing that is annotated vanishes without a word."""

from __future__ import annotations

import base64
import io
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lmv3det.cli.app import main
from lmv3det.data.brush import decode_bitmask, decode_brush
from lmv3det.data.coco import CocoDataset
from lmv3det.data.image_folder import ImageFolder
from lmv3det.data.issues import NothingUsable
from lmv3det.data.segmentation import bounds, mask_runs, rectangles, run_lengths
from lmv3det.data.shapes import ellipse
from lmv3det.engine.run import train
from lmv3det.errors import InputError
from tests.training_helpers import tiny_config

CASES = Path(__file__).parent / "cases"
IMAGES = CASES / "images"
"""`a.png` and `b.png`, 600×800."""

TEXT = ("Text", [60.0, 60.0, 480.0, 70.0])
TABLE = ("Table", [60.0, 60.0, 480.0, 70.0])
LOWER = ("Table", [60.0, 170.0, 480.0, 70.0])


def load(annotations: Path, images: Path = IMAGES, **options: Any) -> CocoDataset:
    return CocoDataset(annotations, images, quiet=True, **options)


def regions(dataset: CocoDataset) -> list[tuple[str, list[tuple[str, Any]]]]:
    """(file, its classes and boxes) of every page."""
    names = {category.id: category.name for category in dataset.file_categories}
    return [
        (r.file_name, [(names[a["category_id"]], pytest.approx(a["bbox"])) for a in r.annotations])
        for r in dataset.records
    ]


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


# The cases: what each of the small exports gives.


@pytest.mark.parametrize(
    ("case", "pages"),
    [
        ("brush_lost/brush_and_box.json", [("a.png", [TEXT])]),
        ("brush_lost/ellipse_only.json", [("a.png", [("Figure", [180, 320, 240, 160])])]),
        *(
            (f"coco_of_tools/{name}.json", [("a.png", [TEXT]), ("b.png", [LOWER])])
            for name in ("exported", "windows", "since_1_16", "project", "local_files")
        ),
        ("coco_units/cvat_rotation.json",
         [("a.png", [("Text", [275, 300, 50, 200])]), ("b.png", [])]),
        ("multi_page_task/value_list.json", [("a.png", [TEXT]), ("b.png", [TABLE])]),
        ("multi_page_task/repeater.json", [("a.png", [TEXT]), ("b.png", [TABLE])]),
        ("multi_page_task/mixed.json",
         [("a.png", [TEXT]), ("a.png", [TEXT]), ("b.png", [TABLE])]),
        ("ocr_template/ocr.json", [("a.png", [TEXT])]),
        ("same_class_twice/twice.json", [("a.png", [TEXT]), ("b.png", [LOWER])]),
        ("x_anylabeling/rotation", [("a.png", [TEXT, LOWER])]),
        ("x_anylabeling/quadrilateral", [("a.png", [TEXT])]),
        ("x_anylabeling/no_type", [("a.png", [TEXT])]),
        *(
            (f"cvat_masks/{name}.xml",
             [("a.png", [TEXT, LOWER, ("Figure", [100, 410, 400, 180])])])
            for name in ("masks", "frames")
        ),
    ],
)  # fmt: skip
def test_what_is_annotated_is_read(case, pages):
    assert regions(load(CASES / case)) == pages


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("brush_lost/brush_and_box.json", ["malformed result: tasks[0] (a.png) result[1]: the ma"]),
        ("brush_lost/brush_only.json", ["no class and no region", "the mask is cut off"]),
        ("coco_units/fractions.json", ["4 boxes lie within 1×1", "fractions"]),
        ("coco_units/percent.json", ["4 boxes lie within 100×100", "per cent"]),
        ("coco_units/corners.json", ["2 of 4 boxes leave the page", "corners"]),
        ("coco_units/thousandths.json", ["4 boxes lie within 1000×1000", "thousandths"]),
        ("crowds_only/instances_default.json", ["2 annotations have iscrowd 1", "no region"]),
        ("crowds_only/some.json", ["crowds alone: category 2 (Table)"]),
        ("same_class_twice/twice.json", ["category 0 (Text): category 1 (Text) has the same"]),
        ("same_class_twice/root.json", ["category 0 (layout): no region, and the supercategory"]),
        ("zip_export/coco.zip", ["no annotation can be used as a region"]),
        ("zip_export/export.zip", ["annotations.xml: categories is empty"]),
    ],
)
def test_check_says_what_is_wrong(case, said, capsys):
    words = ["check", "--annotations", str(CASES / case), "--images", str(IMAGES)]
    assert main(words) == 1
    printed = "".join(capsys.readouterr())
    assert "clean" not in printed
    for text in said:
        assert text in printed


@pytest.mark.parametrize(
    "case",
    ["coco_units/pixels.json", "coco_of_tools/windows.json", "ocr_template/ocr.json",
     "cvat_masks/frames.xml", "x_anylabeling/rotation", "multi_page_task/repeater.json"],
)  # fmt: skip
def test_what_is_right_is_clean(case, capsys):
    assert main(["check", "--annotations", str(CASES / case), "--images", str(IMAGES)]) == 0
    assert "clean, no issues" in capsys.readouterr().out


def test_train_and_evaluate_are_warned_too(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        CocoDataset(CASES / "coco_units/percent.json", IMAGES)
    (warning,) = caplog.records
    assert "per cent of the page" in warning.getMessage()
    # A suspicion is no error where faults are.
    assert len(load(CASES / "coco_units/percent.json", strict=True)) == 2


@pytest.mark.parametrize("case", ["crowds_only/instances_default.json", "zip_export/coco.zip"])
def test_a_training_without_any_region_is_an_error(case, tmp_path):
    split = {"annotations": str(CASES / case), "images": str(IMAGES)}
    config = tiny_config(tmp_path, tmp_path / "run", data={"train": split, "val": split})
    with pytest.raises(InputError, match="no region in any page"):
        train(config)


# Label Studio.


def result(labels: str, item: dict[str, Any] | None = None, **value: Any) -> dict[str, Any]:
    size = {"original_width": 600, "original_height": 800}
    return {**size, "value": {**value, labels: ["Text"]}, **(item or {})}


BOX = {"x": 10, "y": 7.5, "width": 80, "height": 8.75, "rotation": 0}


def studio(folder: Path, results: list[Any], data: Any = None, **task: Any) -> CocoDataset:
    content = {"data": data or {"image": "a.png"}, "annotations": [{"result": results}]} | task
    return load(write(folder / "export.json", [content]))


class Bits:
    """Writes the brush's stream of bits."""

    def __init__(self) -> None:
        self.text = ""

    def add(self, value: int, count: int) -> None:
        self.text += format(value, f"0{count}b")

    def bytes(self) -> list[int]:
        padded = self.text + "0" * (-len(self.text) % 8)
        return [int(padded[k : k + 8], 2) for k in range(0, len(padded), 8)]


def packed(values: np.ndarray, generator: np.random.Generator) -> list[int]:
    """Values packed as thi.ng's rle-pack does it, with sizes and runs at random."""
    bits, sizes = Bits(), sorted(generator.integers(1, 17, 4).tolist())
    sizes[3] = 16
    bits.add(len(values), 32)
    bits.add(7, 5)
    for size in sizes:
        bits.add(size - 1, 4)
    place = 0
    while place < len(values):
        choice = int(generator.integers(4))
        most = min(2 ** sizes[choice], len(values) - place)
        same = np.flatnonzero(values[place:] != values[place])
        run = min(most, int(same[0]) if len(same) else len(values) - place)
        repeat = run > 2
        length = run if repeat else min(most, int(generator.integers(1, 9)))
        bits.add(int(repeat), 1)
        bits.add(choice, 2)
        bits.add(length - 1, sizes[choice])
        for value in values[place : place + (1 if repeat else length)].tolist():
            bits.add(value, 8)
        place += length
    return bits.bytes()


@pytest.mark.parametrize("seed", range(10))
def test_brush_masks(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 30, 2).tolist()
    mask = generator.random((height, width)) < generator.choice([0, 0.1, 0.5, 1.0])
    mask[: height // 3] = seed % 2
    pixels = generator.integers(0, 256, (height, width, 4))
    pixels[..., 3] = np.where(mask, generator.integers(1, 256, (height, width)), 0)
    if seed % 3:
        pixels[..., :3] = pixels[..., 3:]  # as a brush of grey
    data = packed(pixels.ravel(), generator)
    np.testing.assert_array_equal(decode_brush(data, height, width), mask)
    with pytest.raises(ValueError, match=r"cut off|4 a pixel"):
        decode_brush(data[: len(data) // 2], height, width)
    with pytest.raises(ValueError, match="4 a pixel"):
        decode_brush(data, height + 1, width)


def test_a_mask_that_label_studios_converter_wrote():
    data = [0, 0, 0, 192, 57, 27, 254, 67, 0, 183, 255, 132, 192, 45, 255, 206, 1, 31, 252, 224,
            22, 255, 241, 120, 0]  # fmt: skip
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:5, 1:4] = mask[3, 6] = True
    np.testing.assert_array_equal(decode_brush(data, 6, 8), mask)


@pytest.mark.parametrize("wrong", [None, "x", [256], [-1], [], [0] * 7, [0.5] * 9, {"a": 1}])
def test_no_brush_mask(wrong):
    with pytest.raises(ValueError, match="mask"):
        decode_brush(wrong, 2, 2)


def test_brushes_and_bitmasks_are_regions(tmp_path):
    mask = np.zeros((800, 600), dtype=bool)
    mask[170:240, 60:540] = True
    mask[200:210, 100:110] = False  # not the whole box
    rle = packed(np.repeat(mask.ravel(), 4) * 255, np.random.default_rng(0))
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    np.testing.assert_array_equal(decode_bitmask(url, 800, 600), mask)
    with pytest.raises(ValueError, match="600×800"):
        decode_bitmask(url, 600, 800)
    for value in ("x", "data:image/png;base64,x", "data:image/png;base64,AAAA", 5):
        with pytest.raises(ValueError, match="mask"):
            decode_bitmask(value, 800, 600)
    dataset = studio(
        tmp_path,
        [
            result("brushlabels", format="rle", rle=rle),
            result("bitmasklabels", imageDataURL=url),
        ],
    )
    assert regions(dataset) == [("a.png", [("Text", LOWER[1])] * 2)]
    assert not dataset.report
    for annotation in dataset.records[0].annotations:
        runs = run_lengths(annotation["segmentation"], 800, 600)
        painted = np.zeros((800, 600), dtype=bool)
        for x0, y0, x1, y1 in rectangles(runs, 800).astype(int):
            painted[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(painted, mask)


@pytest.mark.parametrize("degrees", [0, 30, 90, 137.5, -20])
def test_an_ellipse_reaches_as_far_as_it_does(degrees):
    points = ellipse((30, 40), (20, 5), degrees)
    turn = np.deg2rad(degrees)
    half = np.hypot([20 * np.cos(turn), 20 * np.sin(turn)], [5 * np.sin(turn), 5 * np.cos(turn)])
    np.testing.assert_allclose(points.min(axis=0), np.array([30, 40]) - half)
    np.testing.assert_allclose(points.max(axis=0), np.array([30, 40]) + half)
    x, y = (points - [30, 40]).T
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    np.testing.assert_allclose((along / 20) ** 2 + (across / 5) ** 2, 1)


def test_results_without_a_place_on_a_page_are_named(tmp_path):
    box = result("rectanglelabels", {"id": "a"}, **BOX)
    named = [
        result("paragraphlabels", start="/p[1]", startOffset=1, endOffset=5),
        result("keypointlabels", x=1, y=2, width=1),
        result("videolabels", sequence=[{"frame": 1, **BOX}], framesCount=9),
        {**result("rectanglelabels", **BOX), "value": {**BOX}},
        {"type": "rectanglelabels", "value": None},
        "no result",
        result("brushlabels", rle=[1, 2, 3]),
        result("polygonlabels", points=[[1, 2], [3, 4]]),
        result("ellipselabels", x=1, y=2, radiusX=-3, radiusY=4),
        result("rectanglelabels", **{**BOX, "width": "wide"}),
        result("rectanglelabels", {"image_rotation": 90}, **BOX),
        {**box, "id": "m", "value": {**BOX, "rectanglelabels": ["Text", "Title"]}},
    ]
    silent = [
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "textarea", "id": "a", "value": {**BOX, "text": ["words"]}},
        {"type": "choices", "id": "a", "value": {**BOX, "choices": ["printed"]}},
        {"type": "rating", "value": {"rating": 4}},
    ]
    dataset = studio(tmp_path, [box, *silent, *named])
    assert dataset.report.counts == {"malformed result": len(named)}
    told = [issue.entry.partition("result")[2] for issue in dataset.report.issues]
    assert sorted(told) == sorted(f"[{k + 1 + len(silent)}]" for k in range(len(named)))
    assert regions(dataset)[0][1] == [TEXT] * 3


def test_label_of_another_result_of_the_same_id(tmp_path):
    points = [[0, 0], [50, 0], [50, 50]]
    shape = {**result("x", {"id": "r", "type": "polygon"}), "value": {"points": points}}
    label = {"id": "r", "type": "labels", "value": {"labels": ["Text"]}}
    other = {**shape, "id": "s"}
    dataset = studio(tmp_path, [label, shape, other])
    assert regions(dataset) == [("a.png", [("Text", [0, 0, 300, 400])])]
    assert dataset.report.counts == {"malformed result": 1}


def test_a_size_that_is_not_said_is_the_files(tmp_path):
    box = result("rectanglelabels", **BOX)
    del box["original_width"], box["original_height"]
    dataset = studio(tmp_path, [box])
    assert regions(dataset) == [("a.png", [TEXT])] and not dataset.report


@pytest.mark.parametrize(
    ("data", "items", "pages"),
    [
        ({"image": "a.png", "thumb": "b.png"}, [{"to_name": "image"}], {"a.png": 1}),
        ({"one": "a.png", "two": "b.png"}, [{"to_name": "one"}, {"to_name": "two"}],
         {"a.png": 1, "b.png": 1}),
        ({"image1": "a.png", "image2": "b.png"}, [{"to_name": "img1"}, {"to_name": "img2"}],
         {"a.png": 1, "b.png": 1}),
        ({"pages": ["a.png", "b.png"]}, [{"item_index": 1}], {"a.png": 0, "b.png": 1}),
        ({"pages": [{"n": 1, "url": "/data/local-files/?d=x/b.png"}, {"n": 2, "url": "a.png"}]},
         [{"to_name": "page_1"}], {"b.png": 0, "a.png": 1}),
    ],
)  # fmt: skip
def test_which_page_a_result_lies_on(tmp_path, data, items, pages):
    results = [result("rectanglelabels", item, **BOX) for item in items]
    dataset = studio(tmp_path, results, data)
    assert {name: len(found) for name, found in regions(dataset)} == pages
    assert not dataset.report.faults


@pytest.mark.parametrize("item", [{}, {"item_index": 2}, {"item_index": -1}, {"to_name": "p_7"}])
def test_a_result_of_no_known_page_is_left_out_with_a_word(tmp_path, item):
    good = result("rectanglelabels", {"item_index": 0}, **BOX)
    data = {"pages": ["a.png", "b.png"]}
    dataset = studio(tmp_path, [good, result("rectanglelabels", item, **BOX)], data)
    assert regions(dataset) == [("a.png", [TEXT]), ("b.png", [])]
    assert "of which of 2 images is not said" in str(dataset.report.issues[0])


def test_which_annotation_is_taken(tmp_path):
    box, other = result("rectanglelabels", **BOX), result("rectanglelabels", **{**BOX, "x": 5})
    given = [{"result": [box], "ground_truth": True}, {"result": [other]}, {"result": [],
             "was_cancelled": True}]  # fmt: skip
    dataset = studio(tmp_path, [], annotations=given)
    assert regions(dataset) == [("a.png", [TEXT])]
    assert dataset.report.counts == {"annotated several times": 1}
    old = {"annotations": None, "completions": [{"result": [other], "skipped": True},
                                                {"result": [box]}]}  # fmt: skip
    content = [{"data": {"image": "a.png"}, "completions": old["completions"]}]
    dataset = load(write(tmp_path / "old.json", content))
    assert regions(dataset) == [("a.png", [TEXT])] and not dataset.report


def test_the_short_form_of_label_studio(tmp_path):
    shape = {**BOX, "rectanglelabels": ["Text"], "original_width": 600, "original_height": 800}
    content = [
        {"image": "/data/upload/1/0a1b2c3d-a.png", "id": 1, "label": [shape], "annotator": 1},
        {"image": "/data/upload/1/0a1b2c3d-b.png", "id": 2, "annotator": 1, "lead_time": 3.5},
    ]
    dataset = load(write(tmp_path / "min.json", content))
    assert regions(dataset) == [("a.png", [TEXT]), ("b.png", [])]


# CVAT.


def cvat(folder: Path, body: str, head: str = "") -> CocoDataset:
    return load(write(folder / "own.xml", f"<annotations>{head}{body}</annotations>"))


def test_cvats_shapes_that_have_no_area_are_named(tmp_path):
    shapes = (
        '<skeleton label="Text"><points label="1" points="1,2"/></skeleton>'
        '<cuboid label="Text" xtl1="1"/><points label="Text" points="1,2"/>'
        '<box label="Text" xtl="60" ytl="60" xbr="540" ybr="130"/><box xtl="1" ytl="1"/>'
        '<ellipse label="Text" cx="1" cy="1" rx="0" ry="2"/><polygon label="Text" points="1,2,3"/>'
        '<polygon label="Text" points=""/><mask label="Text" rle="0, 4" left="1" top="1"/>'
    )
    dataset = cvat(
        tmp_path, f'<image id="4" name="a.png" width="600" height="800">{shapes}</image>'
    )
    assert regions(dataset) == [("a.png", [TEXT])]
    assert dataset.report.counts == {"malformed shape": 8}
    assert "image 4 (a.png) shape 0: a skeleton" in str(dataset.report.issues[0])


@pytest.mark.parametrize(
    ("mask", "box"),
    [
        ('rle="2, 3, 1" left="10" top="20" width="3" height="2"', [10, 20, 3, 2]),
        ('rle="0, 12" left="-1" top="798" width="3" height="4"', [0, 798, 2, 2]),
        ('rle="0, 7" left="10" top="20" width="3" height="2"', [10, 20, 3, 2]),  # told of
    ],
)
def test_masks_of_cvat(tmp_path, mask, box):
    image = '<image id="0" name="a.png" width="600" height="800">'
    dataset = cvat(tmp_path, f'{image}<mask label="Text" {mask}/></image>')
    assert regions(dataset) == [("a.png", [("Text", box)])]
    assert dataset.report.counts == ({"malformed mask": 1} if "7" in mask[:10] else {})
    if "2, 3" in mask:  # rows 001, 110
        (found,) = dataset.records[0].annotations
        runs = run_lengths(found["segmentation"], 800, 600)
        assert sorted(rectangles(runs, 800).tolist()) == [[10, 21, 12, 22], [12, 20, 13, 21]]


def test_a_video_of_cvat(tmp_path):
    for number in (0, 3):
        Image.new("RGB", (60, 80)).save(tmp_path / f"frame_{number:06d}.PNG")
    box = '<box frame="{}" outside="{}" keyframe="1" xtl="1" ytl="2" xbr="11" ybr="22"/>'
    track = f'<track id="0" label="Text">{box.format(0, 0)}{box.format(3, 0)}{box.format(4, 1)}'
    size = "<original_size><width>60</width><height>80</height></original_size>"
    head = f"<meta><task>{size}</task></meta>"
    write(tmp_path / "v.xml", f"<annotations>{head}{track}</track></annotations>")
    dataset = load(tmp_path / "v.xml", tmp_path)
    there = [("Text", [1, 2, 10, 20])]
    assert regions(dataset) == [("frame_000000.PNG", there), ("frame_000003.PNG", there)]


def test_a_project_of_cvat(tmp_path):
    head = (
        "<meta><project><labels><label><name>Text</name><type>any</type></label>"
        "<label><name>Pose</name><type>skeleton</type></label>"
        "<label><name>1</name><type>points</type><parent>Pose</parent></label></labels></project>"
        "</meta>"
    )
    for subset in ("train", "val"):
        (tmp_path / subset).mkdir()
        Image.new("RGB", (60, 80), (subset == "val" and "white") or "red").save(
            tmp_path / subset / "a.png"
        )
    image = '<image id="{}" name="a.png" subset="{}" task_id="1" width="60" height="80"/>'
    body = head + image.format(0, "train") + image.format(1, "val")
    dataset = load(write(tmp_path / "p.xml", f"<annotations>{body}</annotations>"), tmp_path)
    assert [r.file_name for r in dataset.records] == ["train/a.png", "val/a.png"]
    assert [c.name for c in dataset.file_categories] == ["Text"]


# LabelMe and X-AnyLabeling.


def test_labelme_files_of_many_kinds(tmp_path):
    corners = [[60, 60], [540, 60], [540, 130], [60, 130]]

    def shape(kind: Any, points: Any = corners) -> dict[str, Any]:
        return {"label": "Text", "points": points, "shape_type": kind}

    good = [shape(kind) for kind in ("polygon", "rotation", "quadrilateral", "rectangle", None,
                                     "oriented_rectangle")]  # fmt: skip
    good += [shape("rectangle", [[540, 130], [60, 60]]), shape("mask", [[60, 60], [540, 130]])]
    good += [{"label": "Text", "points": corners}]
    bad = [shape(kind) for kind in ("line", "point", "linestrip", "cuboid", "points", 7)]
    bad += [shape(None, corners[:2]), shape("polygon", []), {"points": corners}, None]
    content = {"shapes": good + bad, "imagePath": "C:\\pages\\a.png", "imageData": "AAAA"}
    write(tmp_path / "a.json", content)
    write(tmp_path / "b.json", {"shapes": []})  # the image has the file's name
    dataset = load(tmp_path)
    assert regions(dataset) == [("a.png", [TEXT] * len(good)), ("b.png", [])]
    assert dataset.report.counts == {"malformed shape": len(bad)}
    one = load(tmp_path / "a.json")  # a file by itself
    assert regions(one) == [("a.png", [TEXT] * len(good))]


def test_pages_of_one_name_are_not_mixed_up(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        points = [[60, 60], [540, 130]]
        shapes = [{"label": "Text", "points": points, "shape_type": "rectangle"}]
        write(tmp_path / folder / "a.json", {"shapes": shapes, "imagePath": "a.png"})
    with pytest.raises(NothingUsable, match="may be this page, or that of another entry"):
        load(tmp_path)


# COCO.


def coco(folder: Path, **changes: Any) -> Path:
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 600, "height": 800}],
        "categories": [{"id": 1, "name": "Text"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 60, 480, 70], "iscrowd": 0}
        ],
    }
    for key, value in changes.items():
        content["images" if key == "file_name" else "annotations"][0][key] = value
    return write(folder / "coco.json", content)


@pytest.mark.parametrize(
    "name",
    ["a.png", "./a.png", "pages\\a.png", "C:\\Users\\me\\pages\\a.png", "/abs/olute/a.png",
     "../../up/a.png", "http://host:8080/data/upload/3/0a1b2c3d-a.png", "s3://bucket/x/a.png",
     "/data/local-files/?d=deep%2Fpages%2Fa.png", "file:///x/a.png", "A.PNG", "a",
     "x/0a1b2c3d-a.png", "https://host/a.png?token=x%2Fy&e=1", "images/../a.png", "%61.png"],
)  # fmt: skip
def test_names_that_mean_a_file(tmp_path, name):
    dataset = load(coco(tmp_path, file_name=name))
    assert regions(dataset) == [(name if name == "./a.png" else "a.png", [TEXT])]


def test_nothing_is_read_outside_of_the_image_folder(tmp_path):
    outside = tmp_path / "secret.png"
    Image.new("RGB", (600, 800)).save(outside)
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("../secret.png", str(outside), "sub/../../secret.png", "..\\secret.png", "..", ""):
        with pytest.raises(InputError) as error:
            load(coco(tmp_path, file_name=name), tmp_path / "images")
        assert "no usable page" in str(error.value)
    with pytest.raises(InputError, match="nothing is read outside of this folder"):
        load(coco(tmp_path, file_name="../secret.png"), tmp_path / "images")


def test_a_file_of_several_possible_ones_is_not_guessed(tmp_path):
    for name in ("page.png", "page.jpg", "sub", "\u00e9.png"):
        (tmp_path / name).touch()
    find = ImageFolder(tmp_path).find
    assert find("page") is None and find("PAGE.PNG") == "page.png" and find("pag") is None
    assert find("e\u0301.png") == "\u00e9.png"  # decomposed, as macOS writes it


@pytest.mark.parametrize(
    ("changes", "crowds", "said"),
    [
        ({"iscrowd": "0"}, 0, "texts"),
        ({"iscrowd": "1"}, 1, "texts"),
        ({"iscrowd": False}, 0, None),
        ({"iscrowd": None}, 0, None),
        ({"iscrowd": 0.0}, 0, None),
        ({"iscrowd": 2}, 0, "iscrowd 2, not 0 or 1"),
        ({"iscrowd": "no"}, 0, "iscrowd 'no', not 0 or 1"),
        ({"image_id": "1", "category_id": "1", "id": "7"}, 0, "3 numbers are texts"),
        ({"bbox": ["60", "60", "480", "70.0"]}, 0, "1 numbers are texts"),
        ({"image_id": 1.0}, 0, None),
        ({"bbox": None, "segmentation": [[60, 60, 540, 60, 540, 130, 60, 130]]}, 0, "that of its"),
        ({"bbox": [], "segmentation": mask_runs(np.ones((70, 480), bool), 60, 60, 800, 600)}, 0,
         "that of its segmentation"),
        ({"bbox": [1, 2], "segmentation": [[60, 60, 540, 60, 540, 130]]}, 0, "not [x, y, w, h]"),
        ({"attributes": {"rotation": 360, "occluded": False}}, 0, None),
        ({"attributes": {"rotation": "x"}}, 0, None),
        ({"attributes": [1]}, 0, None),
    ],
)  # fmt: skip
def test_numbers_that_are_written_otherwise(tmp_path, changes, crowds, said):
    dataset = load(coco(tmp_path, **changes))
    assert regions(dataset) == [("a.png", [TEXT])]
    assert [a["iscrowd"] for a in dataset.records[0].annotations] == [crowds]
    told = [str(issue) for issue in dataset.report.issues if "crowds" not in str(issue)]
    told = [text for text in told if "no region" not in text]
    assert len(told) == (said is not None) and (said is None or said in told[0])


def test_the_bounds_of_masks():
    generator = np.random.default_rng(0)
    for _ in range(50):
        height, width = generator.integers(1, 12, 2).tolist()
        mask = generator.random((height, width)) < generator.choice([0.05, 0.3, 1.0])
        runs = mask_runs(mask, 0, 0, height, width)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        wanted = None
        if len(rows):
            low, high = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
            wanted = (*low, high[0] - low[0], high[1] - low[1])
        assert bounds(runs) == wanted
    assert bounds({"size": [10**9, 10**9], "counts": [0, 10**18]}) is None


def test_a_class_is_one_whatever_its_case(tmp_path):
    content = json.loads(coco(tmp_path).read_text())
    content["categories"] = [{"id": 5, "name": "text "}, {"id": 1, "name": "Text"}]
    again = content["annotations"][0] | {"id": 2, "category_id": 5, "bbox": [60, 170, 480, 70]}
    content["annotations"].append(again)
    dataset = load(write(tmp_path / "two.json", content))
    assert [(c.id, c.name) for c in dataset.categories] == [(1, "Text")]
    assert dataset[0].classes.tolist() == [0, 0]
    assert dataset.report.counts == {"classes of one name": 1}


def test_images_that_share_an_id_lose_their_annotations_with_a_word(tmp_path):
    content = json.loads(coco(tmp_path).read_text())
    content["images"].append({**content["images"][0], "file_name": "b.png"})
    content["images"].append({**content["images"][0], "id": 2})
    dataset = load(write(tmp_path / "two.json", content))
    assert regions(dataset) == [("a.png", [])]
    assert "image 1 (a.png, b.png): 2 files have the id" in str(dataset.report.issues[0])


@pytest.mark.parametrize("count", [1, 12])
def test_small_regions_of_real_pages_raise_no_suspicion(tmp_path, count):
    content = json.loads(coco(tmp_path).read_text())
    generator = np.random.default_rng(count)
    for number in range(count):
        x, y = generator.integers(0, 500, 2).tolist()
        box = [x, y, 90, 40]
        content["annotations"].append({**content["annotations"][0], "id": number + 2, "bbox": box})
    assert not load(write(tmp_path / "small.json", content)).report


# ZIP.


def zipped(path: Path, members: dict[str, bytes | str], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def of_coco() -> str:
    return (CASES / "coco_of_tools/exported.json").read_text("utf-8")


@pytest.mark.parametrize(
    "members",
    [
        {"annotations/instances_default.json": of_coco, "images/a.png": b"", "README.txt": "x"},
        {"result.json": of_coco, "notes.json": "{}", "__MACOSX/._result.json": b"\0\0"},
        {"project\\result.json": of_coco, "../../etc/passwd": "x", "data.yaml": ""},
    ],
)
def test_a_zip_is_read_as_it_was_downloaded(tmp_path, members):
    content = {k: v() if callable(v) else v for k, v in members.items()}
    before = sorted(tmp_path.parent.rglob("passwd"))
    dataset = load(zipped(tmp_path / "export", content))
    assert regions(dataset) == [("a.png", [TEXT]), ("b.png", [LOWER])]
    assert sorted(tmp_path.parent.rglob("passwd")) == before


def test_other_tools_in_a_zip(tmp_path):
    xml = (CASES / "cvat_masks/masks.xml").read_text("utf-8")
    assert len(regions(load(zipped(tmp_path / "c.zip", {"annotations.xml": xml})))[0][1]) == 3
    tasks = (CASES / "ocr_template/ocr.json").read_text("utf-8")
    assert regions(load(zipped(tmp_path / "s.zip", {"x/tasks.json": tasks}))) == [("a.png", [TEXT])]
    page = (CASES / "x_anylabeling/rotation/a.json").read_text("utf-8")
    pages = {"pages/a.json": page, "pages/b.json": page.replace("a.png", "b.png")}
    assert [name for name, _ in regions(load(zipped(tmp_path / "l.zip", pages)))] == [
        "a.png", "b.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: {f"{k}/_annotations.coco.json": of_coco() for k in ("train", "valid")},
         "a ZIP with 2 annotation files (train/_annotations.coco.json, valid/"),
        (lambda: {"inner.zip": b"PK\x03\x04"}, "holds another ZIP, inner.zip"),
        (lambda: {"a.png": b"x", "labels/a.txt": "0 1 1 1 1"}, "it holds .png, .txt"),
        (lambda: {"a.xml": "<annotation><object/></annotation>"}, "no annotations of COCO"),
        (lambda: {"x.json": b"[" + b" " * (64 << 20)}, "67,108,865 bytes; unpack it"),
        (lambda: {"x.json": "[1, 2"}, "x.json: not JSON"),
        (dict, "it holds nothing"),
    ],
)  # fmt: skip
def test_a_zip_that_cannot_be_read_says_why(tmp_path, make: Callable[[], dict], said):
    with pytest.raises(InputError) as error:
        load(zipped(tmp_path / "export.zip", make(), compresslevel=1))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_damaged_zips_and_zips_for_images(tmp_path):
    content = zipped(tmp_path / "x.zip", {"a.json": of_coco()}).read_bytes()
    for cut in (10, len(content) // 2, len(content) - 5):
        (tmp_path / "cut.zip").write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"cut\.zip: "):
            load(tmp_path / "cut.zip")
    (tmp_path / "bad.zip").write_bytes(content[:60] + b"\xff" * 20 + content[80:])
    with pytest.raises(InputError, match=r"bad\.zip: "):
        load(tmp_path / "bad.zip")
    with pytest.raises(InputError, match="a ZIP; unpack its images"):
        load(CASES / "coco_of_tools/exported.json", tmp_path / "x.zip")


# The list of issues, and the drawings.


def test_issues_are_named_one_by_one_and_then_counted(tmp_path, capsys):
    content = json.loads(coco(tmp_path).read_text())
    bad = [{**content["annotations"][0], "id": k, "bbox": [1]} for k in range(2, 152)]
    content["annotations"] += bad
    path = write(tmp_path / "many.json", content)
    words = ["check", "--annotations", str(path), "--images", str(IMAGES)]
    for options, lines in (([], 101), (["--issues", "3"], 4), (["--issues", "0"], 150)):
        assert main([*words, *options]) == 1
        out = capsys.readouterr().out
        assert out.count("ISSUE malformed box: ") == lines
        assert "150 malformed box" in out and (lines == 150 or "more" in out)
    assert main([*words, "--issues", "-1"]) == 1


def test_every_page_has_a_drawing_of_its_own(tmp_path, capsys):
    names = ["a.png", "a.jpg", "A.bmp", "b/c.png", "b__c.png", "x.y.png", "x.z.png", "d.png"]
    (tmp_path / "images" / "b").mkdir(parents=True)
    images = []
    for number, name in enumerate([*names, "d.png"], start=1):
        page = Image.new("RGB", (60, 40), "white")
        ImageDraw.Draw(page).text((3, 3), str(number), fill="black")
        page.save(tmp_path / "images" / name)
        images.append({"id": number, "file_name": name, "width": 60, "height": 40})
    annotations = [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [k, k, 20, 20]} for k in range(1, 10)
    ]
    content = {"images": images, "annotations": annotations,
               "categories": [{"id": 1, "name": "Text"}]}  # fmt: skip
    path = write(tmp_path / "annotations.json", content)
    words = ["check", "--annotations", str(path), "--images", str(tmp_path / "images")]
    main([*words, "--draw", str(tmp_path / "drawn")])
    drawn = [p.name for p in (tmp_path / "drawn").iterdir()]
    assert len({name.casefold() for name in drawn}) == 9
    assert "x.y.jpg" in drawn and "x.z.jpg" in drawn
