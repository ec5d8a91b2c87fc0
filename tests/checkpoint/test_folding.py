"""A model of fine classes that predicts those of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lmv3det.checkpoint.file import Checkpoint, save_checkpoint
from lmv3det.checkpoint.loading import load_detector
from lmv3det.classes import CDLA, PUBLAYNET
from lmv3det.cli.app import main
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import build_detector
from tests.tiny_detector import tiny_checkpoint, tiny_config

NAMES = ("Header", "Section header", "Text", "Title")


@pytest.fixture
def fine(tmp_path: Path) -> Path:
    """A checkpoint with four fine classes, each of which has a fifth of every probability."""
    config = tiny_config(model={"num_classes": 4, "mask_on": False})
    torch.manual_seed(0)
    weights = build_detector(config).state_dict()
    for name in weights:
        if ".cls_score." in name:
            weights[name] = torch.zeros_like(weights[name])
    categories = [Category(n, name) for n, name in enumerate(NAMES)]
    save_checkpoint(tmp_path / "fine.pth", Checkpoint(weights, config, categories))
    return tmp_path / "fine.pth"


def test_probabilities_are_summed(fine):
    model, checkpoint = load_detector(fine, overrides=["test.classes=cdla"])
    assert tuple(c.name for c in checkpoint.categories) == CDLA
    torch.manual_seed(1)
    logits = [torch.randn(7, 5), torch.randn(7, 5)]
    own = torch.stack([x.softmax(-1) for x in logits]).mean(0)
    scores = model.cascade.class_scores(logits)
    assert scores.shape == (7, 11)
    wanted = torch.zeros(7, 11)
    wanted[:, 6], wanted[:, 0], wanted[:, 10] = own[:, 0], own[:, 2], own[:, 4]
    wanted[:, 1] = own[:, 1] + own[:, 3]  # Title: section headers too
    assert torch.allclose(scores, wanted, atol=1e-7)


def test_sums_are_of_float32_in_mixed_precision(fine):
    model, _ = load_detector(fine, overrides=["test.classes=cdla"])
    logits = torch.randn(7, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model.cascade.class_scores([logits])
    assert torch.equal(scores, model.cascade.class_scores([logits]))


def test_what_a_data_set_does_not_annotate_goes_to_the_background(fine):
    model, checkpoint = load_detector(fine, overrides=["test.classes=publaynet"])
    assert tuple(c.name for c in checkpoint.categories) == PUBLAYNET
    scores = model.cascade.class_scores([torch.zeros(3, 5)])
    assert torch.allclose(scores, torch.tensor([0.2, 0.4, 0, 0, 0, 0.4]).expand(3, 6))


def test_a_region_is_there_once_where_two_of_its_classes_become_one(fine):
    page = np.full((80, 64, 3), 255, dtype=np.uint8)
    (own,) = Detector.load(fine, overrides=["test.score_threshold=0.1"]).predict(page)
    (folded,) = Detector.load(
        fine, overrides=["test.score_threshold=0.1", "test.classes=cdla"]
    ).predict(page)
    count = {name: sum(own.names[k] == name for k in own.classes.tolist()) for name in NAMES}
    found = [folded.names[k] for k in folded.classes.tolist()]
    assert count["Title"] and found.count("Title") == count["Title"] == count["Section header"]
    of_title = folded.scores[[name == "Title" for name in found]]
    assert torch.allclose(of_title, torch.full_like(of_title, 0.4))


def test_training_is_as_before(fine):
    model, _ = load_detector(fine, overrides=["test.classes=cdla"])
    assert not any("folding" in name for name in model.state_dict())
    assert model.cascade.num_classes == 4


def test_an_onnx_file_folds_too(fine, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    out = tmp_path / "model.onnx"
    words = ["export", str(fine), "--classes", "cdla", "--out", str(out)]
    assert main([*words, "test.score_threshold=0.1"]) == 0  # compared with eager as it is written
    page = np.full((80, 64, 3), 255, dtype=np.uint8)
    (found,) = Detector.load(out).predict(page)
    assert tuple(found.names) == CDLA
    assert {found.names[k] for k in found.classes.tolist()} == {"Title", "Text", "Header"}


def test_on_the_command_line(fine, tmp_path, tiny_data, capsys):
    words = ["evaluate", str(fine), "--classes", "cdla", "--out", str(tmp_path / "out")]
    words += ["--annotations", str(tiny_data.annotations), "--images", str(tiny_data.images)]
    assert main([*words, "--worst", "0", "--map", "Table=Figure"]) == 0
    assert "Text" in capsys.readouterr().out


def test_other_classes_and_masks_do_not_fold(tmp_path):
    own = tiny_checkpoint(tmp_path / "own.pth", tiny_config(model={"mask_on": True}))
    with pytest.raises(InputError, match=r"masks are of its own classes; leave test\.classes=cdla"):
        load_detector(own, overrides=["test.classes=cdla"])
    config = tiny_config(model={"mask_on": False})
    weights = build_detector(config).state_dict()
    stamps = [Category(1, "Text"), Category(2, "Stamp")]
    save_checkpoint(tmp_path / "stamps.pth", Checkpoint(weights, config, stamps))
    with pytest.raises(InputError, match=r"class 'Stamp' is no fine class"):
        load_detector(tmp_path / "stamps.pth", overrides=["test.classes=cdla"])
