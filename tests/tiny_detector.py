"""A detector small enough for tests, with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lmv3det.checkpoint.file import Checkpoint, save_checkpoint
from lmv3det.config import Config, from_dict
from lmv3det.data.categories import Category
from lmv3det.model.detector import build_detector

CATEGORIES = [Category(3, "Table"), Category(7, "Text")]


def tiny_config(**sections: dict[str, Any]) -> Config:
    """A detector of a few thousand parameters that takes pages of 64 to 96 pixels."""
    values: dict[str, Any] = {
        "device": "cpu",
        "data": {"workers": 0},
        "input": {"min_size_test": 64, "max_size_test": 96},
        "model": {"num_classes": 2},
        "backbone": {
            "hidden_size": 32,
            "layers": 4,
            "heads": 2,
            "intermediate_size": 64,
            "out_indices": [0, 1, 2, 3],
            "coordinate_size": 6,
            "shape_size": 4,
            "vocab_size": 50,
        },
        "neck": {"out_channels": 16},
        "rpn": {"pre_nms_test": 50, "post_nms_test": 20, "anchor_sizes": [8, 16, 32, 48, 64]},
        "roi": {"fc_dim": 32, "sampling_ratio": 2},
        "mask": {"convs": 1, "dim": 16, "sampling_ratio": 2},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return from_dict(values)


def tiny_checkpoint(path: Path, config: Config | None = None, **fields: Any) -> Path:
    """A checkpoint with random weights of `tiny_config`."""
    config = config or tiny_config()
    torch.manual_seed(0)
    weights = build_detector(config).state_dict()
    save_checkpoint(path, Checkpoint(weights, config, CATEGORIES, **fields))
    return path
