"""A box head of your own: convolutions with GroupNorm before one fully connected layer.

A head takes the pooled regions N×D×P×P and returns N×F features, for the classifier and the box
regression of its stage; the cascade builds one a stage. Name the class in a config and run where
Python can import the file:

    roi:
      head: custom_head:ConvHead
      head_options: {convolutions: 3}

    PYTHONPATH=examples python train.py --config my.yaml

This file run by itself builds a small detector with it and finds something on a random page.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lmv3det.config import from_dict
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Target


class ConvHead(nn.Module):
    """Convolutions look at neighbouring cells of a region before they are mixed."""

    def __init__(
        self, in_channels: int, pool_size: int, fc_dim: int, convolutions: int = 2
    ) -> None:
        """The first three come from the config: neck.out_channels (D), roi.pool_size (P) and
        roi.fc_dim (F), which is what the predictors expect; the last one from roi.head_options."""
        super().__init__()
        self.convolutions = nn.Sequential()
        for _ in range(convolutions):
            self.convolutions.append(nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False))
            groups = math.gcd(32, in_channels)  # must divide the channels
            self.convolutions.append(nn.GroupNorm(groups, in_channels))
            self.convolutions.append(nn.ReLU())
        self.fc = nn.Linear(in_channels * pool_size**2, fc_dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: N×D×P×P → N×F."""
        return torch.relu(self.fc(self.convolutions(x).flatten(1)))


def main() -> None:
    torch.manual_seed(0)
    config = from_dict(
        {
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
            "roi": {
                "fc_dim": 48,
                "sampling_ratio": 2,
                "head": f"{__name__}:ConvHead",
                "head_options": {"convolutions": 1},
            },
        }
    )
    detector = build_detector(config)
    page = Batch(
        images=torch.randn(1, 3, 96, 128),
        image_sizes=[(96, 128)],
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )
    losses = detector.losses(page)
    torch.stack(list(losses.values())).sum().backward()
    heads = [type(head).__name__ for head in detector.cascade.heads]  # type: ignore[union-attr]
    print(f"heads {', '.join(heads)}; loss {sum(loss.item() for loss in losses.values()):.3f}")
    print(f"{len(detector.eval().predict(page)[0])} detections")


if __name__ == "__main__":
    main()
