"""Losses of your own: a focal loss of the classes, label smoothing of the RPN's objectness.

Lin et al., 2017, https://arxiv.org/abs/1708.02002: regions that are right already weigh less. Name
the classes in a config and run where Python can import the file:

    roi:
      predictor: custom_loss:FocalPredictor
      predictor_options: {gamma: 2.0}
    rpn:
      kind: custom_loss:SmoothRPN
      options: {smoothing: 0.1}

    PYTHONPATH=examples python train.py --config my.yaml

This file run by itself compares the losses of a random page with the usual ones.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lmv3det.config import Config, from_dict
from lmv3det.model.cascade import BoxPredictor
from lmv3det.model.detector import build_detector
from lmv3det.model.rpn import RPN
from lmv3det.structures import Batch, Target


class FocalPredictor(BoxPredictor):
    """The usual classifier and box regression, with a focal loss of the classes."""

    def __init__(self, *args: Any, gamma: float = 2.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gamma = gamma

    def class_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """logits: N×(C+1), classes: N int64 (C is the background) → a scalar."""
        cross_entropy = F.cross_entropy(logits, classes, reduction="none")  # N, -log p
        return ((1 - torch.exp(-cross_entropy)) ** self.gamma * cross_entropy).mean()


class SmoothRPN(RPN):
    """The usual RPN, whose anchors should not be surer than 1 - smoothing / 2."""

    def __init__(self, *args: Any, smoothing: float = 0.1, **options: Any) -> None:
        super().__init__(*args, **options)
        self.smoothing = smoothing

    def objectness_loss(self, logits: Tensor, is_object: Tensor, drawn: Tensor) -> Tensor:
        """logits, is_object, drawn: B×k → a scalar, the sum over the anchors that were drawn."""
        wanted = is_object.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / 2
        rows = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return (rows * drawn).sum()


def small_config(**sections: dict[str, Any]) -> Config:
    """A detector that runs anywhere in a second."""
    values: dict[str, dict[str, Any]] = {
        "model": {"num_classes": 3, "mask_on": False},
        "backbone": {
            "hidden_size": 32,
            "layers": 4,
            "heads": 2,
            "intermediate_size": 64,
            "out_indices": [0, 1, 2, 3],
            "coordinate_size": 6,
            "shape_size": 4,
        },
        "neck": {"out_channels": 32},
        "roi": {"fc_dim": 48, "sampling_ratio": 2},
    }
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    return from_dict(values)


def losses(config: Config) -> dict[str, float]:
    """The losses of a random page, of the same weights whatever the losses are."""
    torch.manual_seed(0)
    detector = build_detector(config).train()
    page = Batch(
        images=torch.randn(1, 3, 96, 128),
        image_sizes=[(96, 128)],
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )
    found = detector.losses(page)
    torch.stack(list(found.values())).sum().backward()
    return {name: loss.item() for name, loss in found.items()}


def main() -> None:
    usual = losses(small_config())
    own = losses(
        small_config(
            roi={"predictor": f"{__name__}:FocalPredictor", "predictor_options": {"gamma": 2.0}},
            rpn={"kind": f"{__name__}:SmoothRPN", "options": {"smoothing": 0.1}},
        )
    )
    for name, loss in own.items():
        print(f"{name:22} {usual[name]:.4f} → {loss:.4f}")


if __name__ == "__main__":
    main()
