"""An encoder of your own: four stages of convolutions, one map each.

An encoder takes the images and gives four maps; `lmv3det.model.backbone_base.Backbone` says what
the detector asks of it. Name the class in a config and run where Python can import the file:

    backbone:
      kind: custom_encoder:ConvEncoder
      options: {width: 48}

    PYTHONPATH=examples python train.py --config my.yaml

This file run by itself builds a small detector with it, takes one training step, and predicts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lmv3det.config import from_dict
from lmv3det.model.backbone_base import Backbone, Features
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Target


class ConvEncoder(Backbone):
    """Each stage projects patches and looks at their neighbours."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.strides = [4, 8, 16, 32]
        self.out_channels = [width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.ModuleList()
        before = 3
        for number, channels in enumerate(self.out_channels):
            patch = 2 if number else 4
            project = nn.Conv2d(before, channels, patch, stride=patch)
            mix = nn.Conv2d(channels, channels, 3, padding=1)
            self.stages.append(nn.Sequential(project, nn.GroupNorm(1, channels), nn.GELU(), mix))
            before = channels

    def forward(self, images: Tensor, *text: object) -> Features:
        maps = []  # B×C×H×W each
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return Features(maps)

    def layer_of(self, name: str) -> int:
        return int(name.split(".")[1])  # stages.N.…


def main() -> None:
    torch.manual_seed(0)
    config = from_dict(
        {
            "model": {"num_classes": 3, "mask_on": False},
            "backbone": {"kind": f"{__name__}:ConvEncoder", "options": {"width": 8}},
            "neck": {"out_channels": 32},
            "roi": {"fc_dim": 32, "sampling_ratio": 2},
        }
    )
    detector = build_detector(config)
    page = Batch(
        images=torch.randn(1, 3, 96, 128),
        image_sizes=[(96, 128)],
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )
    optimizer = torch.optim.AdamW(detector.parameters(), lr=1e-3)
    loss = torch.stack(list(detector.losses(page).values())).sum()
    loss.backward()
    optimizer.step()
    print(f"{type(detector.backbone).__name__} with strides {detector.backbone.strides}")
    print(f"loss {loss.item():.3f}; {len(detector.eval().predict(page)[0])} detections")


if __name__ == "__main__":
    main()
