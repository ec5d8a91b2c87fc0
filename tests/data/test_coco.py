"""COCO reading: class order, crowds, outlines, every issue, sizes that differ."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from lmv3det.data.categories import Category, match_categories
from lmv3det.data.coco import CocoDataset
from lmv3det.data.segmentation import decompress, outline, rectangles, run_lengths
from lmv3det.errors import InputError


def load(data, **options) -> CocoDataset:
    data.save()
    return CocoDataset(data.annotations, data.images, **options)


def test_classes_are_ordered_by_category_id(tiny_data):
    dataset = load(tiny_data, strict=True)
    assert dataset.categories == [Category(3, "Table"), Category(7, "Text")]
    assert len(dataset) == 4
    sample = dataset[0]
    assert sample.classes.tolist() == [1, 0, 1]  # the crowd is left out
    assert sample.boxes.tolist() == [[4, 5, 24, 15], [1, 30, 31, 50], [10, 20, 15, 25]]
    assert sample.image.shape == (60, 40, 3) and sample.image.dtype == np.uint8
    assert (sample.page.image_id, sample.page.width, sample.page.height) == (10, 40, 60)
    assert Path(sample.page.file) == tiny_data.images / "a.png"
    assert [a["iscrowd"] for a in dataset.records[0].annotations] == [0, 0, 0, 1]


def test_pages_without_regions(tiny_data):
    sample = load(tiny_data)[1]
    assert sample.boxes.shape == (0, 4) and sample.classes.shape == (0,) and not sample.polygons
    assert len(load(tiny_data, keep_empty=False)) == 3


def test_outlines(tiny_data):
    dataset = load(tiny_data)
    triangle, box = dataset[0].polygons[1:]
    assert triangle[0].tolist() == [[1, 30], [31, 30], [1, 50]]
    assert box[0].tolist() == [[10, 20], [15, 20], [15, 25], [10, 25]]  # null: the box
    assert dataset[3].polygons[0][0].tolist()[0] == [3.5, 4.5]  # missing: the box
    parts = dataset[2].polygons[0]
    assert [part[0].tolist() + part[2].tolist() for part in parts] == [
        [30, 5, 35, 12],
        [10, 5, 30, 20],
    ]


@pytest.mark.parametrize("seed", range(20))
def test_masks_become_exactly_their_rectangles(seed):
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 40, 2)
    share = generator.choice([0.0, 0.1, 0.5, 0.95, 1.0])
    mask = np.asfortranarray(generator.random((height, width)) < share, dtype=np.uint8)
    if generator.random() < 0.5:
        mask[: height // 2] = 1
    compressed = coco_mask.encode(mask)
    flat = np.concatenate([[0], mask.flatten(order="F"), [2]])
    plain = np.diff(np.concatenate([[0], np.flatnonzero(np.diff(flat))])).tolist()
    assert decompress(compressed["counts"]) == plain
    size = [int(height), int(width)]
    runs = run_lengths({"size": size, "counts": compressed["counts"].decode()}, *size)
    painted = np.zeros_like(mask)
    for x0, y0, x1, y1 in rectangles(runs, height).astype(int):
        assert x1 > x0 and y1 > y0
        painted[y0:y1, x0:x1] += 1
    assert np.array_equal(painted, mask)  # all covered, none twice
    if mask.all():
        assert len(outline({"size": size, "counts": plain}, np.zeros(4), *size)) == 1


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda c: c["images"][1].update(file_name="zz.png"), "missing image", "zz.png"),
        (lambda c: c["images"][1].update(id=10), "duplicate image id", "image 10 (a.png, b.png)"),
        (lambda c: c["images"][1].update(file_name="a.png"), "file listed twice", "image 10"),
        (lambda c: c["images"][1].pop("width"), "size missing", "40×50"),
        (lambda c: c["images"][1].update(id="x"), "malformed image", "images[1]"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 0, 5]), "empty box", "annotation 2"),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, -3, 5]), "empty box", "annotation 2"),
        (
            lambda c: c["annotations"][1].update(bbox=[1, 2, float("nan"), 5]),
            "malformed box",
            "annotation 2",
        ),
        (lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "malformed box", "[1, 2, 3]"),
        (lambda c: c["annotations"][1].pop("bbox"), "malformed box", "None"),
        (lambda c: c["annotations"][1].update(bbox=[90, 2, 9, 5]), "box off the page", "40×60"),
        (lambda c: c["annotations"][1].update(bbox=[30, 2, 20, 5]), "box sticks out", "clipped"),
        (lambda c: c["annotations"][1].update(category_id=5), "unknown category", "5"),
        (lambda c: c["annotations"][1].update(image_id=99), "unknown image id", "99"),
        (lambda c: c["annotations"][1].update(id=1), "duplicate annotation id", "annotation 1"),
        (lambda c: c["annotations"][1].update(segmentation=[[1, 2]]), "malformed segm", "polygon"),
        (
            lambda c: c["annotations"][1].update(segmentation={"size": [60, 40], "counts": [7]}),
            "malformed segm",
            "sum to 7",
        ),
        (
            lambda c: c["annotations"][1].update(segmentation={"size": [60, 40], "counts": "~~"}),
            "malformed segm",
            "damaged",
        ),
        (lambda c: c["categories"].append({"id": 3, "name": "X"}), "duplicate category", "Table"),
    ],
)
def test_faults_are_named_counted_and_refused(tiny_data, caplog, change, kind, says):
    change(tiny_data.content)
    with caplog.at_level(logging.WARNING):
        dataset = load(tiny_data)
    assert len(dataset.report) == 1
    assert next(iter(dataset.report.counts)).startswith(kind)
    assert says in str(dataset.report.issues[0])
    assert len(caplog.records) == 1 and says in caplog.text
    for index in range(len(dataset)):
        sample = dataset[index]
        assert len(sample.boxes) == len(sample.classes) == len(sample.polygons)
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
    ids = [a["id"] for record in dataset.records for a in record.annotations]
    assert len(set(ids)) == len(ids)
    with pytest.raises(InputError) as error:
        load(tiny_data, strict=True)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_what_goes_on_after_faults(tiny_data):
    content = tiny_data.content
    content["annotations"][0]["bbox"] = [30, 2, 20, 5]
    content["annotations"][1]["segmentation"] = [[1, 2]]
    content["annotations"][2]["bbox"] = [-0.5, 20, 5, 40.5]  # half a pixel: no issue
    dataset = load(tiny_data)
    assert dataset[0].boxes.tolist() == [[30, 2, 40, 7], [1, 30, 31, 50], [0, 20, 4.5, 60]]
    assert dataset[0].polygons[1][0].tolist() == [[1, 30], [31, 30], [31, 50], [1, 50]]
    assert dataset.report.counts == {"box sticks out": 1, "malformed segmentation": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON list, but not of Label Studio's tasks"),
        ('{"images": [], "annotations": []}', "no list 'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "at least one class"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": "x", "name": "a"}]}',
            "categories[0]",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "no usable"),
    ],
)
def test_files_that_are_not_coco(tiny_data, text, says):
    tiny_data.annotations.write_text(text)
    with pytest.raises(InputError) as error:
        CocoDataset(tiny_data.annotations, tiny_data.images)
    assert says in str(error.value) and "annotations.json" in str(error.value)
    with pytest.raises(InputError, match="no such annotation file"):
        CocoDataset(tiny_data.root / "none.json", tiny_data.images)


def test_stored_size_is_not_the_files(tiny_data, caplog):
    image = tiny_data.content["images"][0]
    image["width"], image["height"] = 80, 120
    del tiny_data.content["annotations"][3]  # a mask has to have the stored size
    with caplog.at_level(logging.WARNING):
        dataset = load(tiny_data, with_text=True)
        sample = dataset[0]
        dataset[0]
    assert sample.boxes[0].tolist() == [2, 2.5, 12, 7.5]
    assert sample.polygons[0][0].max(axis=0).tolist() == [12, 7.5]
    assert sample.line_boxes[0].tolist() == [2, 3, 22, 7]  # the OCR has the true size
    assert (sample.page.width, sample.page.height) == (80, 120)
    assert sum("40×60" in record.message for record in caplog.records) == 1
    strict = load(tiny_data, strict=True)
    with pytest.raises(InputError, match=r"a\.png.*40×60.*80×120.*image 10"):
        strict[0]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("stored", ["upright", "raster"])
def test_exif_rotation(tiny_data, orientation, stored):
    """Regions and OCR lines lie on the same dark patches whatever frame the sizes tell of."""
    upright = np.full((60, 40, 3), 255, dtype=np.uint8)
    upright[5:15, 4:24] = 0
    upright[30:50, 4:10] = 100
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    image = Image.fromarray(upright)
    raster = image if undo is None else image.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    raster.save(tiny_data.images / "a.png", exif=exif)
    lines = {"bbox": [[4, 5, 20, 10], [4, 30, 6, 20]], "words": ["a", "b"], "W": 40, "H": 60}
    (tiny_data.ocr / "a.json").write_text(json.dumps(lines))
    if stored == "raster" and orientation >= 5:
        tiny_data.content["images"][0].update(width=60, height=40)
        # As a tool that knows nothing of EXIF draws it.
        dark = np.argwhere(np.asarray(raster)[..., 0] == 0)
        (y0, x0), (y1, x1) = dark.min(axis=0), dark.max(axis=0) + 1
        box = [int(x0), int(y0), int(x1 - x0), int(y1 - y0)]
        tiny_data.content["annotations"] = [{**tiny_data.content["annotations"][0], "bbox": box}]
    sample = load(tiny_data, with_text=True)[0]
    assert sample.image.shape[:2] == (sample.page.height, sample.page.width)
    for box, value in ((sample.boxes[0], 0), *zip(sample.line_boxes, (0, 100), strict=True)):
        x0, y0, x1, y1 = box.astype(int)
        inside = sample.image[y0:y1, x0:x1]
        assert (inside == value).all() and (sample.image == value).sum() == inside.size


def test_text_lines(tiny_data):
    sample = load(tiny_data, with_text=True)[0]
    assert sample.lines == ["first line", "第二 a"]
    assert sample.line_boxes.tolist() == [[2, 3, 22, 7], [5, 10, 15, 15]]
    assert load(tiny_data)[0].lines == []


def test_missing_ocr(tiny_data, caplog):
    (tiny_data.ocr / "c.json").unlink()
    with pytest.raises(InputError, match=r"1 of 4 pages.*c\.json.*lmv3det ocr"):
        load(tiny_data, with_text=True)
    with caplog.at_level(logging.WARNING):
        dataset = load(tiny_data, with_text=True, missing_ocr="empty")
    assert "c.json" in caplog.text
    assert dataset[2].line_boxes.shape == (0, 4) and dataset[0].lines
    with pytest.raises(InputError, match="4 of 4"):
        load(tiny_data, ocr=tiny_data.root / "elsewhere", with_text=True)


def test_malformed_ocr(tiny_data):
    (tiny_data.ocr / "a.json").write_text('{"bbox": [[1, 2, 3]], "words": ["a"], "W": 9, "H": 9}')
    with pytest.raises(InputError, match=r"a\.json: entry 0"):
        load(tiny_data, with_text=True)[0]
    assert load(tiny_data, with_text=True, malformed_ocr="skip")[0].lines == []


def test_pages_that_share_an_ocr_file_are_a_fault(tiny_data):
    (tiny_data.images / "sub").mkdir()
    (tiny_data.images / "b.png").rename(tiny_data.images / "sub" / "a.png")
    tiny_data.content["images"][1]["file_name"] = "sub/a.png"
    assert load(tiny_data, with_text=True).report.counts == {"OCR file shared": 1}
    assert not load(tiny_data).report


def test_match_categories(caplog):
    cdla = [Category(1, "Text"), Category(2, "Figure caption"), Category(3, "Table")]
    other = [Category(0, "table"), Category(5, "figure_caption")]
    assert match_categories(cdla, other) == [2, 1]
    chinese = [Category(1, "文本"), Category(2, "图注"), Category(3, "表格")]
    with caplog.at_level(logging.WARNING):
        assert match_categories(cdla, chinese) == [0, 1, 2]
    assert "matched by id" in caplog.text
    with pytest.raises(InputError, match="4 'Equation'"):
        match_categories(cdla, [*cdla, Category(4, "Equation")])
    with pytest.raises(InputError, match="not unique"):
        match_categories(cdla, [Category(1, "text"), Category(2, "Text")])


def test_a_models_classes_lead(tiny_data):
    model = [Category(1, "figure"), Category(2, "text"), Category(3, "table")]
    dataset = load(tiny_data, categories=model)
    assert dataset.categories == model
    assert dataset[0].classes.tolist() == [1, 2, 1]
    assert dataset.class_of == {3: 2, 7: 1}


@pytest.mark.parametrize(
    ("name", "pages", "regions"), [("publaynet", 14, 138), ("docbank", 70, 978)]
)
def test_real_pages(lmv3det_data, name, pages, regions):
    folder = lmv3det_data / name
    dataset = CocoDataset(
        folder / "annotations.json", folder / "images", with_text=True, strict=True
    )
    assert len(dataset) == pages
    samples = [dataset[index] for index in range(min(pages, 14))]
    assert sum(len(record.annotations) for record in dataset.records) == regions
    for sample in samples:
        assert len(sample.lines) > 5
        limit = np.tile(sample.image.shape[1::-1], 2)
        for boxes in (sample.boxes, sample.line_boxes):
            assert (boxes >= 0).all() and (boxes <= limit).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["annotations"][1].update(image_id=[10]), "image_id [10]"),
        (lambda c: c["annotations"][1].update(image_id={}), "image_id {}"),
        (lambda c: c["annotations"][1].update(image_id=10**40), f"image_id {10**40}"),
        (lambda c: c["annotations"][1].update(category_id=[3]), "category_id [3]"),
        (lambda c: c["images"][1].update(id=2**63), "images[1]: id 9223372036854775808"),
        (lambda c: c["images"][1].update(width=10**40), f"width {10**40}, height 50"),
        (lambda c: c["images"][1].update(width=10**9), "the file's 40×50 taken"),
        (
            lambda c: c["annotations"][1].update(
                segmentation={"size": [60, 40], "counts": [10**40]}
            ),
            "not a string or a list of lengths",
        ),
    ],
)
def test_numbers_without_end_and_ids_that_are_none(tiny_data, change, says):
    change(tiny_data.content)
    dataset = load(tiny_data)
    assert len(dataset.report) == 1 and says in str(dataset.report.issues[0])
    assert all(len(dataset[index].boxes) <= 3 for index in range(len(dataset)))


def test_ids_may_be_negative_or_as_long_as_64_bits(tiny_data):
    content = tiny_data.content
    renamed = {10: -5, 11: 2**63 - 1, 12: -(2**63), 13: 0}
    classes = {7: -1, 3: -7}
    for image in content["images"]:
        image["id"] = renamed[image["id"]]
    for annotation in content["annotations"]:
        annotation["image_id"] = renamed[annotation["image_id"]]
        annotation["category_id"] = classes[annotation["category_id"]]
    for category in content["categories"]:
        category["id"] = classes[category["id"]]
    content["annotations"][0]["id"] = 2**63 - 1  # no room for further ids behind it
    content["annotations"][1]["id"] = -3
    dataset = load(tiny_data, strict=True)
    assert [record.image_id for record in dataset.records] == list(renamed.values())
    assert dataset.file_categories == [Category(-7, "Table"), Category(-1, "Text")]
    assert dataset[0].classes.tolist() == [1, 0, 1]
    assert [a["id"] for a in dataset.records[0].annotations] == [7, 8, 3, 4]


def test_lists_in_any_order_and_twice(tiny_data):
    """JSON takes the last of two values with the same key."""
    expected = load(tiny_data)
    content = {key: json.dumps(value) for key, value in tiny_data.content.items()}
    tiny_data.annotations.write_text(
        f'{{"annotations": [3, {{}}], "info": [[{{"a": "]"}}]], "annotations": '
        f'{content["annotations"]}, "categories": {content["categories"]}, "images": [7], '
        f'"images": {content["images"]} }} \n'
    )
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    assert not dataset.report
    for ours, theirs in zip(dataset.records, expected.records, strict=True):
        assert (ours, ours.annotations) == (theirs, theirs.annotations)


def test_a_class_name_that_is_no_unicode(tiny_data):
    tiny_data.content["categories"][1]["name"] = "Tab\ud800le"
    with pytest.raises(InputError, match=r"categories\[1\]: id 3, name 'Tab.ud800le'"):
        load(tiny_data)


def test_file_names_that_are_no_unicode_or_too_long(tiny_data):
    content = tiny_data.content
    (tiny_data.images / "b.png").rename(os.fsdecode(os.fsencode(tiny_data.images) + b"/b\xe9.png"))
    content["images"][1]["file_name"] = "b\udce9.png"
    content["images"][2]["file_name"] = "c" * 300 + ".png"
    content["images"][3]["file_name"] = "d\0.png"
    dataset = load(tiny_data)
    assert dataset.report.counts == {"missing image": 2}
    assert len(dataset) == 2 and dataset[1].image.shape == (50, 40, 3)
    str(dataset.report.summary()).encode("utf-8")


def test_annotations_of_a_pipe_are_not_waited_for(tiny_data):
    tiny_data.annotations.unlink()
    os.mkfifo(tiny_data.annotations)
    with pytest.raises(InputError, match="not a regular file"):
        CocoDataset(tiny_data.annotations, tiny_data.images)


@pytest.mark.parametrize("given", ["above", "below"])
def test_the_folder_that_the_file_names_begin_in(tiny_data, given):
    images = wanted = tiny_data.images
    if given == "above":
        images = images / "all"
        images.mkdir()
    else:
        wanted = images / "all"
        wanted.mkdir()
        for path in images.glob("*.png"):
            path.rename(wanted / path.name)
    tiny_data.save()
    with pytest.raises(InputError) as error:
        CocoDataset(tiny_data.annotations, images)
    assert f"give {wanted} as the image folder (--images" in str(error.value)
    assert len(CocoDataset(tiny_data.annotations, wanted)) == 4


def test_ocr_files_in_the_sub_folders_of_their_images(tiny_data):
    images, ocr = tiny_data.images, tiny_data.ocr
    for old, new in (("a", "one"), ("b", "two")):
        (images / new).mkdir()
        (ocr / new).mkdir()
        (images / f"{old}.png").rename(images / new / "page.png")
        (ocr / f"{old}.json").rename(ocr / new / "page.json")
    for number, folder in enumerate(("one", "two")):
        tiny_data.content["images"][number]["file_name"] = f"{folder}/page.png"
    dataset = load(tiny_data, with_text=True)
    assert not dataset.report
    assert [dataset[n].lines[1] for n in range(4)] == ["第二 a", "第二 b", "第二 c", "第二 d"]
    (ocr / "two" / "page.json").unlink()
    with pytest.raises(InputError, match=r"lmv3det ocr .*images/two --out .*OCR/two`"):
        load(tiny_data, with_text=True)


def test_regions_of_a_reduced_page_are_those_of_the_whole(tmp_path):
    """Within a pixel of the reduced page, also with `strict`."""
    image = np.full((403, 301, 3), 200, np.uint8)
    (tmp_path / "images").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "a.jpg")
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 301, "height": 403}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [40, 100, 160, 303]}],
        "categories": [{"id": 1, "name": "Text"}],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    sample = CocoDataset(path, tmp_path / "images", strict=True, least_side=100)[0]
    assert sample.image.shape == (202, 151, 3) and (sample.page.height, sample.page.width) == (
        403,
        301,
    )
    assert np.abs(sample.boxes[0] - np.array([20, 50, 100, 201.5])).max() < 1
    assert CocoDataset(path, tmp_path / "images", least_side=152)[0].image.shape == image.shape
