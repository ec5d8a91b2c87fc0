"""The Python interface: options, streams, threads, and what people do with detections."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hand_made_pdf import words, write_pdf
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tiny_detector import CATEGORIES, tiny_checkpoint, tiny_config

import lmv3det
from lmv3det.checkpoint.folder import save_pretrained
from lmv3det.errors import InputError
from lmv3det.inference.detections import PageDetections, crop
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.inference.selection import Selection, containers
from lmv3det.ocr import get_engine
from lmv3det.ocr.engines import announce
from lmv3det.structures import Detections, Page
from lmv3det.text.ocr_json import OcrPage


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture(scope="module")
def detector(checkpoint) -> Detector:
    return Detector.load(checkpoint, device="cpu")


def page_array(seed: int = 0, height: int = 80, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def detections(boxes: list[list[float]], classes: list[int] | None = None, **more) -> Detections:
    scores = torch.linspace(0.9, 0.5, len(boxes)) if boxes else torch.zeros(0)
    given = torch.tensor(classes or [0] * len(boxes), dtype=torch.int64)
    return Detections(torch.tensor(boxes).reshape(-1, 4).float(), scores, given, (100, 200), **more)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 7}, "score_threshold is 7; it must be a number from 0 to 1"),
        ({"score_threshold": float("nan")}, "score_threshold is nan"),
        ({"score_threshold": "0.5"}, "score_threshold is '0.5'"),
        ({"batch_size": -1}, "batch_size is -1; it must be a whole number, 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "2"}, "batch_size is '2'"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"dpi": 0}, "dpi is 0"),
        ({"thresholds": {"Figure": 0.5}}, "no class Figure; there are Table, Text"),
        ({"thresholds": {"Text": 2}}, "threshold of Text is 2"),
        ({"thresholds": "best"}, "the checkpoint has none"),
        ({"max_overlap": float("inf")}, "max_overlap is inf"),
    ],
)
def test_options_that_cannot_be(detector, options, message):
    """Failed before: they were taken without a word, or ended in torch."""
    with pytest.raises(InputError, match=message):
        detector.predict(page_array(), **options)
    with pytest.raises(InputError, match=message):
        detector.iterate(page_array(), **options)  # before the first page is asked for


def test_pages_that_cannot_be(detector, tmp_path):
    """Failed before: a URL was looked for as a file."""
    with pytest.raises(InputError, match=r"https://x\.org/a\.png: a URL; nothing is fetched"):
        detector.predict("https://x.org/a.png")
    Image.fromarray(page_array()).save(tmp_path / "page.png")
    with (
        open(tmp_path / "page.png", "rb") as stream,
        pytest.raises(InputError, match=r"an open file \(.*page\.png\) is no page; give its path"),
    ):
        detector.predict(stream)
    with (
        open(tmp_path / "page.png", "rb") as stream,
        pytest.raises(InputError, match="the checkpoint is a BufferedReader; give its path"),
    ):
        Detector.load(stream)


def test_thresholds_by_class(checkpoint, detector):
    page = page_array()
    usual = detector.predict(page, score_threshold=0.1)[0]
    text = usual.scores[usual.classes == 1]
    assert len(text) > 1
    limit = float(text.median())
    some = detector.predict(page, score_threshold=0.1, thresholds={"Text": limit})[0]
    keep = (usual.classes == 0) | (usual.scores > limit)
    assert torch.equal(some.boxes, usual.boxes[keep]) and len(some) < len(usual)
    assert torch.equal(some.masks, usual.masks[keep])
    numpy = detector.predict(page, thresholds=np.float32(limit))[0]
    assert torch.equal(numpy.scores, usual.scores[usual.scores > limit])
    known = Detector(
        detector.model, detector.config, CATEGORIES, thresholds={"Text": limit, "Table": 0.1}
    )
    assert torch.equal(known.predict(page, thresholds="best")[0].boxes, some.boxes)


def test_one_region_is_not_of_two_classes():
    found = detections(
        [[0, 0, 100, 50], [0, 0, 100, 49], [0, 20, 100, 50], [110, 0, 150, 50]], [0, 1, 1, 1]
    )

    def kept(**options):
        rules = Selection.choose(["Table", "Text"], 0.0, **options)
        return rules.keep(found).tolist()

    assert kept() == [True] * 4
    assert kept(max_overlap=0.7) == [True, False, True, True]
    assert kept(max_overlap=0.5) == [True, False, False, True]
    assert kept(thresholds={"Table": 0.95}, max_overlap=0.7) == [False, True, True, True]
    none = detections([])
    assert Selection.choose(["Table"], 0.0, None, None, 0.5, True).keep(none).shape == (0,)


def test_regions_within_regions():
    boxes = torch.tensor(
        [[0, 0, 100, 100], [10, 10, 90, 90], [20, 20, 30, 30], [95, 0, 105, 10], [0, 0, 100, 100],
         [200, 200, 200, 200]]
    )  # fmt: skip
    # The third lies in both, the second is smaller; of equal ones the first is the outer.
    assert containers(boxes).tolist() == [-1, 0, 1, -1, 0, -1]
    found = detections(boxes.tolist())
    rules = Selection.choose(["Table"], 0.0, drop_nested=True)
    assert rules.keep(found).tolist() == [True, False, False, True, False, True]


# Streams and threads


def test_iterate_streams(detector):
    taken = []

    def pages():
        for seed in range(6):
            taken.append(seed)
            yield page_array(seed)

    stream = detector.iterate(pages(), batch_size=2)
    first = next(stream)
    assert len(taken) <= 3 and isinstance(first, PageDetections)
    rest = list(stream)
    whole = detector.predict([page_array(seed) for seed in range(6)])
    for one, two in zip([first, *rest], whole, strict=True):
        assert torch.allclose(one.scores, two.scores, rtol=1e-4)


def test_threads_share_a_detector(detector):
    """Failed before: the threshold of one thread's call was seen by the other's."""
    pages = [page_array(seed) for seed in range(4)]
    limits = [0.05, float(detector.predict(pages[0])[0].scores.median())]
    expected = [detector.predict(pages, score_threshold=limit) for limit in limits]
    assert len(expected[0][0]) > len(expected[1][0])
    start, failures = threading.Barrier(2), []

    def work(number: int) -> None:
        start.wait()
        for _ in range(4):
            found = detector.predict(pages, score_threshold=limits[number])
            for one, two in zip(found, expected[number], strict=True):
                if not torch.equal(one.boxes, two.boxes):
                    failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_model_is_as_before_after_a_call(detector):
    before = detector.model.cascade.score_threshold
    stream = detector.iterate([page_array()], score_threshold=0.9)
    next(stream)
    assert detector.model.cascade.score_threshold == before


def test_from_pretrained(checkpoint, detector, tmp_path):
    save_pretrained(lmv3det.load_checkpoint(checkpoint), tmp_path / "folder")
    again = Detector.from_pretrained(tmp_path / "folder", device="cpu")
    one, two = again.predict(page_array())[0], detector.predict(page_array())[0]
    assert torch.equal(one.boxes, two.boxes)
    with pytest.raises(InputError, match=r"owner/name: no such folder; nothing is fetched"):
        Detector.from_pretrained("owner/name")


# What people do with detections


@pytest.fixture
def found(tmp_path) -> PageDetections:
    """A table and a text of a page of 200×100, the text with two lines."""
    Image.fromarray(page_array(height=100, width=200)).save(tmp_path / "page.png")
    lines = OcrPage(
        np.array([[110.0, 20, 190, 30], [110, 5, 190, 15], [0, 90, 20, 99]]),
        ["second", "first", "outside"],
        200,
        100,
    )
    masks = torch.zeros(2, 28, 28)
    masks[0] = 1
    masks[1, :, :14] = 1
    return PageDetections(
        torch.tensor([[10.0, 20, 90.5, 80], [105, 0, 195, 40]]),
        torch.tensor([0.875, 0.5]),
        torch.tensor([0, 1]),
        (100, 200),
        masks,
        ["Table", "Text"],
        Page(str(tmp_path / "page.png"), 200, 100, image_id=7),
        lines,
    )


def test_to_dict_and_json(found, tmp_path):
    content = found.to_dict()
    assert content["file"] == found.page.file and content["page"] == 1
    assert (content["width"], content["height"]) == (200, 100)
    table, text = content["detections"]
    assert table == {
        "bbox": [10.0, 20.0, 80.5, 60.0], "score": 0.875, "category": "Table", "order": 0,
    }  # fmt: skip
    assert text["lines"] == ["first", "second"] and text["order"] == 1
    assert json.loads(found.to_json(tmp_path / "page.json")) == content
    assert json.loads((tmp_path / "page.json").read_text()) == content
    weak = found.to_dict(document_score=0.6)["detections"][1]
    assert "order" not in weak and "lines" not in weak
    mask = found.to_dict(mask_threshold=0.5)["detections"][0]["segmentation"]
    assert coco_mask.decode(mask).sum() == pytest.approx(80.5 * 60, rel=0.03)


def test_to_coco_is_what_pycocotools_loads(found):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 7, "width": 200, "height": 100}],
        "categories": [{"id": 3, "name": "Table"}, {"id": 9, "name": "Text"}],
        "annotations": [],
    }
    truth.createIndex()
    results = found.to_coco(category_ids={"Table": 3, "Text": 9}, mask_threshold=0.5)
    loaded = truth.loadRes(results)
    boxes = [loaded.anns[k]["bbox"] for k in sorted(loaded.anns)]
    assert boxes == [[10, 20, 80.5, 60], [105, 0, 90, 40]]
    assert [r["category_id"] for r in results] == [3, 9]
    assert [r["category_id"] for r in found.to_coco(category_ids={"Text": 9})] == [9]
    assert [r["category_id"] for r in found.to_coco(image_id=1)] == [1, 2]


def test_crop_and_plot(found, tmp_path):
    page = np.asarray(Image.open(found.page.file))
    table, text = found.crop()
    assert np.array_equal(table, page[20:80, 10:91]) and np.array_equal(text, page[:40, 105:195])
    assert found.crop(padding=10)[1].shape == (50, 105, 3)  # cut at the page's edges
    picture = found.plot(tmp_path / "out/drawing.png")
    assert picture.size == (200, 100)
    with Image.open(tmp_path / "out/drawing.png") as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(picture))
    plain = np.asarray(found.plot(score_threshold=0.9))
    assert np.array_equal(plain, page) and not np.array_equal(np.asarray(picture), page)


def test_crop_is_never_empty():
    page = page_array(height=10, width=10)
    boxes = np.array([[3.0, 3, 3, 3], [10, 10, 10, 10], [-5, -5, 0, 0], [0, 0, 10, 10]])
    assert [cut.shape[:2] for cut in crop(page, boxes)] == [(1, 1), (1, 1), (1, 1), (10, 10)]


def test_images_without_a_file_are_kept(detector):
    page = page_array()
    (found,) = detector.predict(page)
    assert np.array_equal(found.page_image(), page)
    with pytest.raises(InputError, match="neither an image nor the file"):
        PageDetections(*(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), (9, 9))).crop()


def test_to_supervision(found):
    supervision = pytest.importorskip("supervision")
    theirs = found.to_supervision()
    assert isinstance(theirs, supervision.Detections)
    np.testing.assert_allclose(theirs.xyxy, found.boxes.numpy())
    assert theirs.data["class_name"].tolist() == ["Table", "Text"]


def test_without_supervision(found, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        found.to_supervision()


# Text


class TestText:
    """Where the words come from if nobody says so."""

    @pytest.fixture
    def seen(self, monkeypatch):
        from lmv3det.inference import text_source

        class Engine(text_source.Engine):
            def recognize(self, image):
                return OcrPage(np.array([[1.0, 1, 9, 9]]), ["read"], *image.shape[1::-1])

        monkeypatch.setattr("lmv3det.ocr.engines.RapidOcr", Engine)
        monkeypatch.setitem(text_source.ENGINES, "rapidocr", Engine)

        def words(ocr, page, **text):
            config = tiny_config(text={"selection": "first", **text})
            source = text_source.choose_text(ocr, config)
            give = text_source.page_text(source, config)
            image = np.zeros((page.height, page.width, 3), np.uint8)
            return give(image, page, 2).lines

        return words

    @pytest.fixture
    def pdf(self, tmp_path) -> Path:
        return write_pdf(tmp_path / "a.pdf", words(50, 300, "from the layer"), "")

    def test_a_model_that_does_without(self, seen, pdf):
        first, second = (Page(str(pdf), 600, 800, number=n) for n in range(2))
        image = Page("scan.png", 60, 80)
        dropout = {"page_dropout": 0.3}
        assert seen(None, first, **dropout) == ["from the layer"]
        assert seen(None, second, **dropout) == seen(None, image, **dropout) == []
        assert seen("rapidocr", image, **dropout) == ["read"]
        assert seen("none", first, **dropout) == []

    def test_a_model_that_needs_text(self, seen, pdf):
        first, second = (Page(str(pdf), 600, 800, number=n) for n in range(2))
        image = Page("scan.png", 60, 80)
        assert seen(None, first) == ["from the layer"]
        assert seen(None, second) == seen(None, image) == ["read"]
        assert seen("layer", image) == seen("none", first) == []
        assert seen("rapidocr", first) == ["read"]

    def test_time_is_announced(self, seen, caplog):
        caplog.set_level("INFO")
        announce(get_engine("pdf-text"), [Path("a.pdf")])
        assert not caplog.text
        announce(get_engine("auto"), [Path("a.pdf"), Path("b.png")])
        assert "pages without a text layer are read by OCR (rapidocr)" in caplog.text
        assert "20 to 35 s of a CPU core a page" in caplog.text


def test_a_call_gives_a_list(detector, tmp_path):
    Image.fromarray(page_array()).save(tmp_path / "page.png")
    found = detector(tmp_path / "page.png")
    assert isinstance(found, list) and found == detector.predict([tmp_path / "page.png"])
    options = PredictOptions(score_threshold=0.9, dpi=72)
    (page,) = detector(tmp_path / "page.png", options=options, score_threshold=0.1)
    assert (
        page.dpi == 72 and page == detector(tmp_path / "page.png", score_threshold=0.1, dpi=72)[0]
    )


def test_masks_are_asked_of_a_model_that_has_none(detector, monkeypatch):
    (without,) = detector(page_array(), masks=False)
    assert without.masks is None and detector(page_array())[0].masks is not None
    monkeypatch.setattr(detector.model, "mask_head", None)
    with pytest.raises(InputError, match="has no mask head"):
        detector(page_array(), masks=True)
