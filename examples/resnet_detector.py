"""The RPN and the cascade on another network: torchvision's ResNet with its own FPN.

Nothing of LayoutLMv3 is in it: the parts of this package take a pyramid of maps, whoever makes it.
`lmv3det.train` trains any module that gives losses by name and predicts:

    PYTHONPATH=examples python examples/resnet_detector.py pages/train.json pages/train

This file run without arguments takes one training step on a random page, and predicts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

import lmv3det
from lmv3det.model.cascade import BoxHead, BoxPredictor, CascadeHeads
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.model.rpn import RPN
from lmv3det.structures import Batch, Detections, Target

IOUS = (0.5, 0.6, 0.7)
BOX_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class ResNetDetector(nn.Module):
    """A ResNet with FPN of strides 4 to 64, this package's RPN and three cascade stages."""

    def __init__(self, num_classes: int, name: str = "resnet18", fc_dim: int = 256) -> None:
        super().__init__()
        self.backbone = resnet_fpn_backbone(
            backbone_name=name, weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
        )
        channels = self.backbone.out_channels  # 256
        self.rpn = RPN(channels, pre_nms=(500, 200), post_nms=(200, 100))
        self.cascade = CascadeHeads(
            ROIPooler(7, sampling_ratio=2),
            [BoxHead(channels, 7, fc_dim) for _ in IOUS],
            [BoxPredictor(fc_dim, num_classes, box_weights=weights) for weights in BOX_WEIGHTS],
            num_classes,
            iou_thresholds=IOUS,
            batch_size_per_image=128,
        )

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Detections]:
        """Losses by name in training mode, else the detections of each page."""
        return self.losses(batch) if self.training else self.predict(batch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The named losses of a batch with targets."""
        assert batch.targets is not None
        pyramid = self.pyramid(batch)
        proposals, losses = self.rpn(pyramid, batch.image_sizes, batch.targets)
        _, box_losses = self.cascade.losses(pyramid, proposals, batch.image_sizes, batch.targets)
        return {**losses, **box_losses}

    def predict(self, batch: Batch) -> list[Detections]:
        """Detections of each page, boxes in pixels of the network input."""
        pyramid = self.pyramid(batch)
        proposals, _ = self.rpn(pyramid, batch.image_sizes)
        return self.cascade.predict(pyramid, proposals, batch.image_sizes)

    def pyramid(self, batch: Batch) -> list[Tensor]:
        """p2 … p6, B×256×H×W each: strides 4 to 32, and 64 by pooling."""
        return list(self.backbone(batch.images).values())


class Watch(lmv3det.Callback):
    """A callback of your own: prints each score."""

    def after_evaluation(self, trainer, metrics) -> None:
        if metrics is not None:
            print(f"step {trainer.step}: AP {metrics['bbox']['AP']}")


def train(annotations: str, images: str, *overrides: str) -> None:
    """Train on pages with COCO annotations; those of `backbone`, `rpn` and `roi` among the settings
    are not read. overrides: such as solver.steps=1000."""
    words = [f"data.train.annotations={annotations}", f"data.train.images={images}"]
    words += [f"data.val.annotations={annotations}", f"data.val.images={images}"]
    words += ["model.mask_on=false", "output_dir=output/resnet"]
    config = lmv3det.load_config(None, [*words, *overrides])
    number = len(json.loads(Path(annotations).read_text(encoding="utf-8"))["categories"])
    lmv3det.train(config, model=ResNetDetector(number), callbacks=[Watch()])


def main() -> None:
    if len(sys.argv) > 2:
        train(*sys.argv[1:])
        return
    torch.manual_seed(0)
    detector = ResNetDetector(num_classes=3)
    page = Batch(
        images=torch.randn(2, 3, 128, 192),
        image_sizes=[(128, 192), (120, 180)],
        targets=[
            Target(torch.tensor([[10.0, 8.0, 90.0, 50.0]]), torch.tensor([1])),
            Target(torch.tensor([[30.0, 60.0, 150.0, 110.0]]), torch.tensor([0])),
        ],
    )
    losses = detector.losses(page)
    torch.stack(list(losses.values())).sum().backward()
    print(", ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items()))
    print(f"{sum(map(len, detector.eval().predict(page)))} detections")


if __name__ == "__main__":
    main()
