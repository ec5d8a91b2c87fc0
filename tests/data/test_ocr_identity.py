"""The text of a page is that of no other: `ocr` on two folders, and every reader of its files."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lmv3det.cli import main
from lmv3det.config import Config
from lmv3det.data.check import check_dataset, open_for_check
from lmv3det.data.coco import CocoDataset
from lmv3det.data.write_shards import write_shards
from lmv3det.errors import InputError
from lmv3det.inference.text_source import page_text
from lmv3det.ocr import recognize_files
from lmv3det.ocr.engine import Engine
from lmv3det.structures import Page
from lmv3det.text.ocr_json import OcrPage, Source, ocr_path, read_ocr, write_ocr


@dataclass
class Brightness(Engine):
    """One line a page, its word the grey level."""

    def recognize(self, image: np.ndarray) -> OcrPage:
        height, width = image.shape[:2]
        return OcrPage(np.array([[1.0, 2, 30, 40]]), [str(image[0, 0, 0])], width, height)


def data_set(root: Path, name: str, grey: int, pages: int = 3) -> Path:
    """`<name>/page0.png`, … of one size, and `<name>.json`; a page is as grey as its number."""
    folder = root / name
    folder.mkdir(parents=True)
    content: dict = {"categories": [{"id": 1, "name": "Text"}], "images": [], "annotations": []}
    for number in range(pages):
        file = f"page{number}.png"
        Image.new("RGB", (60, 80), (grey + number,) * 3).save(folder / file)
        content["images"].append({"id": number + 1, "file_name": file, "width": 60, "height": 80})
        content["annotations"].append(
            {"id": number + 1, "image_id": number + 1, "category_id": 1, "bbox": [1, 2, 30, 40],
             "area": 1200, "iscrowd": 0}
        )  # fmt: skip
    (root / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def pages(tmp_path) -> Path:
    """Two splits whose names repeat, as generated pages' do."""
    data_set(tmp_path / "pages", "train", 100)
    data_set(tmp_path / "pages", "val", 200)
    return tmp_path / "pages"


def dataset(pages: Path, split: str, ocr: str = "OCR", **options) -> CocoDataset:
    return CocoDataset(
        pages / f"{split}.json", pages / split, pages / ocr, with_text=True, **options
    )


def test_one_command_for_two_folders(pages, tmp_path):
    """The README's: every page gets its own words, whoever reads them."""
    report = recognize_files([pages / "train", pages / "val"], pages / "OCR", Brightness())
    assert (report.written, report.failed) == (6, [])
    for split, grey in (("train", 100), ("val", 200)):
        expected = [[str(grey + n)] for n in range(3)]
        data = dataset(pages, split)
        assert [data[n].lines for n in range(3)] == expected
        read = page_text(str(pages / "OCR"), Config())
        found = [
            read(np.zeros(0), Page(str(pages / split / f"page{n}.png"), 60, 80), 1).lines
            for n in range(3)
        ]
        assert found == expected
        kinds = check_dataset(
            open_for_check(pages / f"{split}.json", pages / split, pages / "OCR")
        ).counts
        assert not any("OCR" in kind for kind in kinds)
        write_shards(data, tmp_path / split, 1)


def test_text_of_another_image_is_refused_by_every_reader(pages, tmp_path, capsys):
    """Files of the training pages where those of the held-back ones should lie."""
    recognize_files([pages / "train"], pages / "OCR", Brightness())
    with pytest.raises(InputError, match=r"page0\.json: is the text of train/page0\.png.*val"):
        dataset(pages, "val")
    data = dataset(pages, "val", malformed_ocr="skip")
    assert data[0].lines == []
    read = page_text(str(pages / "OCR"), Config())
    with pytest.raises(InputError, match="is the text of train/page0"):
        read(np.zeros(0), Page(str(pages / "val" / "page0.png"), 60, 80), 1)
    report = check_dataset(open_for_check(pages / "val.json", pages / "val", pages / "OCR"))
    assert report.counts["OCR of another image"] == 3
    data = dataset(pages, "val", malformed_ocr="skip")
    with pytest.raises(InputError, match="is the text of train/page0"):
        write_shards(data, tmp_path / "shards", 1)
    words = ["check", "--annotations", pages / "val.json", "--images", pages / "val"]
    assert main([*map(str, words), "--ocr", str(pages / "OCR")]) == 1
    assert "OCR of another image" in capsys.readouterr().out


def test_an_image_that_changed_is_told_of(pages):
    recognize_files([pages / "train"], pages / "OCR", Brightness())
    Image.new("RGB", (60, 80), (1, 1, 1)).save(pages / "train" / "page1.png")
    with pytest.raises(InputError, match="before it changed"):
        dataset(pages, "train")


def test_one_page_among_many_is_found_when_it_is_read(tmp_path):
    """More pages than are compared when a data set is opened."""
    data_set(tmp_path, "many", 10, pages=60)
    recognize_files([tmp_path / "many"], tmp_path / "OCR", Brightness())
    shutil.copy(tmp_path / "OCR" / "page2.json", tmp_path / "OCR" / "page1.json")
    data = dataset(tmp_path, "many")
    assert data[0].lines == ["10"]
    with pytest.raises(InputError, match=r"page1\.json: is the text of many/page2\.png"):
        data[1]


def test_files_that_name_no_image_are_taken(pages):
    """Other programs' and older ones; two pages of a job do not share one."""
    for number in range(3):
        page = OcrPage(np.zeros((0, 4)), [], 60, 80)
        write_ocr(pages / "OCR" / f"page{number}.json", page)
    assert dataset(pages, "val")[0].lines == []
    read = page_text(str(pages / "OCR"), Config())
    read(np.zeros(0), Page(str(pages / "train" / "page0.png"), 60, 80), 1)
    with pytest.raises(InputError, match=r"is the text of .*train/page0\.png already"):
        read(np.zeros(0), Page(str(pages / "val" / "page0.png"), 60, 80), 1)


def test_what_a_file_says_of_its_image(tmp_path):
    source = Source("ü/a\udcff.png", "0" * 64, 3)
    write_ocr(tmp_path / "a.json", OcrPage(np.zeros((0, 4)), [], 5, 6, source=source))
    found = read_ocr(tmp_path / "a.json").source
    assert found is not None and (found.sha256, found.page) == ("0" * 64, 3)
    for odd in ("5", "[]", '{"name": 5, "sha256": "0", "page": "1"}', '{"name": "x"}'):
        text = '{"bbox": [], "words": [], "W": 5, "H": 6, "image": ' + odd + "}"
        (tmp_path / "b.json").write_text(text)
        assert read_ocr(tmp_path / "b.json").source is None


def test_folders_of_the_same_name_in_the_ocr_folder(tmp_path):
    """The longest name that fits comes first; a sub-folder of the annotations as before."""
    images = tmp_path / "a" / "images"
    for place in ("OCR", "OCR/images", "OCR/a/images", "OCR/sub"):
        write_ocr(tmp_path / place / "p.json", OcrPage(np.zeros((0, 4)), [], 5, 6))
    ocr = tmp_path / "OCR"
    assert ocr_path(ocr, "p.png", images) == ocr / "a" / "images" / "p.json"
    assert ocr_path(ocr, "p.png", tmp_path / "b" / "images") == ocr / "images" / "p.json"
    assert ocr_path(ocr, "p.png", tmp_path / "b") == ocr / "p.json"
    assert ocr_path(ocr, "sub/p.png", tmp_path / "b") == ocr / "sub" / "p.json"
    assert ocr_path(ocr, "p.png") == ocr / "p.json"
