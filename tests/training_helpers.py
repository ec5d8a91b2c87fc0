"""A config so small that a run of a few steps takes a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lmv3det.config import Config, from_dict, merge


def tiny_config(data: Path, output_dir: Path, /, **sections: Any) -> Config:
    """A config for the pages in `data` (annotations.json, images/, OCR/).

    Dropout and the sampling of anchors and regions are on; `sections` are laid over it.
    """
    split = {"annotations": str(data / "annotations.json"), "images": str(data / "images")}
    values: dict[str, Any] = {
        "output_dir": str(output_dir),
        "device": "cpu",
        "data": {"train": split, "val": split, "workers": 0},
        "input": {
            "min_size_train": [64, 80],
            "max_size_train": 128,
            "min_size_test": 64,
            "max_size_test": 128,
        },
        "model": {"mask_on": False},
        "backbone": {
            "hidden_size": 24,
            "layers": 4,
            "heads": 2,
            "intermediate_size": 48,
            "input_size": 64,
            "out_indices": [0, 1, 2, 3],
            "coordinate_size": 4,
            "shape_size": 4,
            "vocab_size": 40,
            "max_positions": 320,
        },
        "neck": {"out_channels": 16},
        "rpn": {
            "anchor_sizes": [8, 16, 32, 64, 128],
            "pre_nms_train": 100,
            "pre_nms_test": 50,
            "post_nms_train": 60,
            "post_nms_test": 20,
            "batch_size_per_image": 64,
        },
        "roi": {"batch_size_per_image": 16, "fc_dim": 32, "sampling_ratio": 1},
        "mask": {"dim": 8, "convs": 1, "sampling_ratio": 1},
        "solver": {
            "steps": 4,
            "batch_size": 2,
            "lr": 1e-3,
            "warmup_steps": 2,
            "log_every": 1,
            "evaluate_every": 0,
            "checkpoint_every": 1000,
        },
    }
    return from_dict(merge(values, sections))
