"""Reading the original's arrays and comparing ours with them.

The conventions of the files are in README.md beside this module.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from weights import deterministic_state_dict

from lmv3det.config import Config, from_dict
from lmv3det.convert.parameter_names import detectron2_name, from_detectron2
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.structures import Batch, Target

TOLERANCE = 1e-9
# Two loss values are computed in float32 by the original (README.md, "How the originals were run").
FLOAT32_LOSSES = {"loss_rpn_cls": 3e-7, "loss_mask": 3e-7}


@dataclasses.dataclass
class Options:
    """Which model the file was computed with."""

    size: str = "tiny"
    offset: int = 0
    num_classes: int = 5


@dataclasses.dataclass
class Result:
    name: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.difference <= self.tolerance


class Fixture:
    """One .npz file, with the results of the comparisons made so far."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as stored:
            self.arrays = {key: stored[key] for key in stored.files}
        self.results: list[Result] = []

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    def __contains__(self, key: str) -> bool:
        return key in self.arrays or f"{key}.sample" in self.arrays

    def numbers(self, prefix: str, suffix: str = "") -> list[int]:
        """The numbers n for which the array `prefix{n}suffix` exists."""
        names = (k for k in self.arrays if k.startswith(prefix) and k.endswith(suffix))
        middles = (k[len(prefix) : len(k) - len(suffix)] for k in names)
        return sorted({int(middle) for middle in middles if middle.isdigit()})

    def compare(self, key: str, ours, tolerance: float = TOLERANCE) -> None:
        """Record the largest difference between the stored array and ours.

        A difference counts relative to the stored number where that is above 1. Sampled arrays
        are compared at their samples, in shape and in their statistics.
        """
        if torch.is_tensor(ours):
            ours = ours.detach().cpu().numpy()
        ours = np.asarray(ours)
        if key in self.arrays:
            self._record(key, self.arrays[key], ours, tolerance)
            return
        shape = tuple(self.arrays[f"{key}.shape"])
        if tuple(ours.shape) != shape:
            self.results.append(Result(f"{key} (shape {ours.shape} for {shape})", np.inf, 0))
            return
        flat = ours.reshape(-1)
        step = int(self.arrays[f"{key}.step"])
        self._record(f"{key}.sample", self.arrays[f"{key}.sample"], flat[::step], tolerance)
        stats = [flat.mean(), flat.std(), flat.min(), flat.max(), np.abs(flat).sum()]
        self._record(f"{key}.stats", self.arrays[f"{key}.stats"], np.array(stats), tolerance)

    def _record(self, name: str, stored: np.ndarray, ours: np.ndarray, tolerance: float) -> None:
        if stored.shape != ours.shape:
            name = f"{name} (shape {ours.shape} for {stored.shape})"
            self.results.append(Result(name, np.inf, tolerance))
            return
        if stored.dtype.kind in "iub":  # indices, classes, bits: equal or not
            tolerance = min(tolerance, 0.0) if tolerance == TOLERANCE else tolerance
        stored, ours = (
            np.atleast_1d(stored).astype(np.float64),
            np.atleast_1d(ours).astype(np.float64),
        )
        difference = np.abs(stored - ours) / np.maximum(1.0, np.abs(stored))
        difference[np.isnan(stored) & np.isnan(ours)] = 0.0
        difference[(stored == ours)] = 0.0
        largest = float(np.max(difference, initial=0.0))
        self.results.append(Result(name, np.inf if np.isnan(largest) else largest, tolerance))


SIZES = {
    "tiny": {
        "backbone": {
            "hidden_size": 96,
            "heads": 4,
            "intermediate_size": 192,
            "coordinate_size": 16,
            "shape_size": 16,
            "vocab_size": 500,
        },
        "neck": {"out_channels": 32},
        "roi": {"fc_dim": 64},
        "mask": {"dim": 32},
    },
    "base": {},
}


def build_config(options: Options, text: bool = False, **sections: dict) -> Config:
    """The config of the model that the files were computed with."""
    values = {name: dict(section) for name, section in SIZES[options.size].items()}
    values.setdefault("backbone", {}).update(dropout=0.0, attention_dropout=0.0)
    values["model"] = {"num_classes": options.num_classes}
    if text:
        values["text"] = {"selection": "all"}
    for name, section in sections.items():
        values.setdefault(name, {}).update(section)
    return from_dict(values)


def deterministic_model(config: Config, offset: int = 0) -> LayoutDetector:
    """The detector in float64 with the weights that follow from the original's names."""
    model = build_detector(config).double()
    shapes = {
        detectron2_name(name): tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    rule = {
        name: torch.from_numpy(value)
        for name, value in deterministic_state_dict(shapes, offset).items()
    }
    missing, unexpected = model.load_state_dict(from_detectron2(rule), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    return model


def make_batch(images: list[np.ndarray], targets: list[Target] | None = None) -> Batch:
    """Normalise and pad uint8 pages as the original does, in float64."""
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    height, width = (-(-max(side) // 32) * 32 for side in zip(*sizes, strict=True))
    padded = torch.zeros(len(images), 3, height, width, dtype=torch.float64)
    for page, image in zip(padded, images, strict=True):
        pixels = torch.from_numpy(image).permute(2, 0, 1).double()
        page[:, : image.shape[0], : image.shape[1]] = (pixels - 127.5) / 127.5
    return Batch(padded, sizes, targets=targets)
