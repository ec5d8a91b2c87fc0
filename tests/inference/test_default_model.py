"""The model that comes with the package: where it is, and what is said where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_detector import CATEGORIES, tiny_config

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.folder import from_pretrained, save_pretrained
from lmv3det.errors import InputError
from lmv3det.inference import default_model as module
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import build_detector


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


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_MODEL", "nowhere")
    with pytest.raises(InputError, match="no model of its own: name a checkpoint"):
        Detector.load()
