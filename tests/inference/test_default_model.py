"""The model that comes with the package: where it is, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_detector import CATEGORIES, tiny_config
from torchvision.ops import box_iou

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.folder import from_pretrained, save_pretrained
from lmv3det.errors import InputError
from lmv3det.inference import default_model as module
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import build_detector
from lmv3det.text.ocr_json import OcrPage


def test_half_the_size_and_float32_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = build_detector(tiny_config()).state_dict()
    checkpoint = Checkpoint(weights, tiny_config(), CATEGORIES)
    save_pretrained(checkpoint, tmp_path / "whole")
    save_pretrained(checkpoint, tmp_path / "half", half=True)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    back = from_pretrained(tmp_path / "half").weights
    for name, tensor in weights.items():
        assert back[name].dtype == tensor.dtype
        assert torch.allclose(back[name], tensor, rtol=1e-3, atol=1e-4), name


def test_the_packed_model_finds_regions_of_a_page_it_never_saw(tmp_path: Path) -> None:
    pytest.importorskip("typst")
    from lmv3det.data.coco import CocoDataset
    from pagegen.typst.generate import generate

    folder = module.default_model_folder()
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 16e6
    detector = Detector.load(device="cpu")
    assert detector.names == [
        "Text", "Title", "Figure", "Figure caption", "Table", "Table caption", "Header", "Footer",
        "Reference", "Equation",
    ]  # fmt: skip
    annotations = generate(tmp_path / "pages", 3, seed=77, language="en")
    dataset = CocoDataset(annotations, annotations.parent / "images", with_text=True)
    for ocr in (annotations.parent / "OCR", [OcrPage(np.zeros((0, 4)))] * 3):
        if isinstance(ocr, list):
            for page, record in zip(ocr, dataset.records, strict=True):
                page.width, page.height = record.width, record.height
        found = detector.predict(annotations.parent / "images", ocr, score_threshold=0.3)
        hits = total = 0
        for k, page in enumerate(found):
            truth = dataset[k]
            overlap = box_iou(torch.from_numpy(truth.boxes).float(), page.boxes)
            same = torch.from_numpy(truth.classes).unsqueeze(1) == page.classes
            hits += int(((overlap >= 0.5) & same).any(1).sum())
            total += len(truth.boxes)
        assert hits / total > 0.6


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_MODEL", "nowhere")
    with pytest.raises(InputError, match="no model of its own: name a checkpoint"):
        Detector.load()
