"""PaddleOCR: the models it is given, and the real package on a page."""

from __future__ import annotations

import difflib
import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lmv3det.errors import InputError
from lmv3det.ocr.engines import get_engine


def test_paddleocr_gets_models_and_bgr(monkeypatch, tmp_path):
    """Against a stand-in for the package, which has the interface of its release 3."""
    seen = {}

    class PaddleOCR:
        def __init__(self, **options):
            seen["options"] = options

        def predict(self, image):
            seen["pixel"] = image[0, 0].tolist()
            corners = np.array([[30, 10], [90, 40], [70, 60], [10, 30]])
            return [{"rec_polys": [corners], "rec_texts": ["word"], "rec_scores": [0.9]}]

    module = types.ModuleType("paddleocr")
    module.PaddleOCR = PaddleOCR  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "paddleocr", module)
    paddle = types.ModuleType("paddle")
    paddle.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "paddle", paddle)
    models = {
        "text_detection_model_name": "det",
        "text_detection_model_dir": str(tmp_path),
        "text_recognition_model_name": "rec",
        "text_recognition_model_dir": str(tmp_path),
    }
    engine = get_engine("paddleocr", device="cpu", **models)
    image = np.zeros((100, 200, 3), dtype=np.uint8)
    image[..., 0] = 255
    page = engine.recognize(image)
    assert page.boxes.tolist() == [[10, 10, 90, 60]] and page.lines == ["word"]
    assert seen["pixel"] == [0, 0, 255]
    assert models.items() <= seen["options"].items() and seen["options"]["device"] == "cpu"
    assert seen["options"]["use_doc_unwarping"] is False


def test_a_model_named_by_half_is_refused():
    with pytest.raises(InputError, match=r"text_detection_model_dir, text_recognition_model_name"):
        get_engine("paddleocr", text_detection_model_name="PP-OCRv5_server_det")


@pytest.mark.slow
def test_the_real_package_reads_a_page_as_rapidocr_does(monkeypatch):
    """Both run the same models, so most lines of a real page are equal; offline."""
    for package in ("paddleocr", "rapidocr", "onnxruntime"):
        pytest.importorskip(package)
    data = os.environ.get("LMV3DET_DATA")
    if data is None:
        pytest.skip("LMV3DET_DATA is not set")

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    path = sorted((Path(data) / "publaynet" / "images").glob("*.jpg"))[1]
    image = np.asarray(Image.open(path).convert("RGB"))
    ours = get_engine("paddleocr").recognize(image)
    theirs = get_engine("rapidocr").recognize(image)
    count = len(theirs.lines)
    assert count > 40 and abs(len(ours.lines) - count) <= 0.1 * count
    alike = 0
    for box, words in zip(theirs.boxes, theirs.lines, strict=True):
        nearest = np.abs(ours.boxes - box).sum(axis=1).argmin()
        ratio = difflib.SequenceMatcher(None, words, ours.lines[nearest]).ratio()
        alike += ratio > 0.9 and np.abs(ours.boxes[nearest] - box).max() <= 12
    assert alike >= 0.85 * count
    empty = get_engine("paddleocr").recognize(np.full((100, 120, 3), 255, dtype=np.uint8))
    assert empty.boxes.shape == (0, 4) and (empty.width, empty.height) == (120, 100)
